"""The words in which people say what a restoration is to do: what each means, as data for `words.wishes`.

A phrase has a role and a value. What people call the kinds of degradations is shared with the sentences of the encoder
(`words.sentences`).
"""

from collections.abc import Iterator, Mapping
from functools import cache

from pellucid.words.sentences import KIND_ADJECTIVES, KIND_WORDS

__all__ = ["JOINTS", "MENDED_VERBS", "NEAR_WORDS", "Role", "phrases", "plain_words"]

Role = str
"""fault: a noun for what is wrong. bad: an adjective for it. wish: a verb or comparative that asks for its end. good: a
noun for what is missing. grain, look, colours, tones: what may stay. remove, keep, not, only, but, all, rest, amount,
more, less, make, is, restore, picture, edit, scale: how it is asked for. add: for what is not there. amid: where
somebody stood."""

_FAULTS: Mapping[str, str] = {
    "noise": (
        "noise, speckle, speckles, specks, sensor noise, snowing static, iso noise, high iso, colour noise, chroma "
        "noise, luminance noise, graininess, static, blotches, mottling, noisiness, like sand, like sandpaper, like "
        "gravel, luma noise, shot noise, read noise, thermal noise, photon noise, colour speckles, grit, dots, spots, "
        "tiny dots, tiny spots, small dots, small spots, tiny speckles"
    ),
    "impulses": (
        "salt and pepper, salt and pepper noise, impulse noise, dead pixels, hot pixels, stuck pixels, lost pixels, "
        "pixels are stuck, are stuck, stuck, broken pixels, bright pixels, black and white dots, white dots, black "
        "dots, white pixels, black pixels, bright dots, coloured dots, dead pixel, hot pixel, stuck pixel, lone "
        "pixels, coloured pixels, dead sensor pixels, hot sensor pixels, red dots, blue dots, green dots, white "
        "and black dots, tiny white dots, tiny black dots"
    ),
    "blur": (
        "blur, blurs, blurring, blurriness, motion blur, camera shake, shake, shaking, camera movement, motion, "
        "movement, softness, fuzziness, unsharpness, defocus, focus error, missed focus, wobble, smear, smearing, "
        "lens blur, hand shake, trembling, trembled, shook, my hands, moved, hand held, handheld, jitter, missing "
        "focus, focus problem, gaussian blur, motion streaks, autofocus, focus missed, back focus, front focus, af "
        "missed, focus is on, focus was on, focus landed on, focused on the wrong, double edges, doubled edges"
    ),
    "rain": (
        "rain, rain streaks, streaks, raindrops, drops, droplets, drizzle, downpour, rainfall, rain drops, showers, "
        "let it rain"
    ),
    "snow": "snow, snowflakes, snow flakes, flakes, snowfall, falling snow, blizzard, sleet, let it snow, flurries",
    "haze": (
        "haze, fog, mist, smog, smoke, haziness, veil, murk, milkiness, milk, fogginess, vapour, cloudiness, "
        "veiling glare, pollution, steam, washed out by haze, washed out by fog, washed out by mist"
    ),
    "low-light": (
        "darkness, underexposure, low light, shadows, gloom, dimness, too little light, bad lighting, poor "
        "lighting, poor light, bad light, under exposure"
    ),
    "jpeg": (
        "jpeg, jpegs, jpeg artefacts, jpeg artefact, compression artefacts, artefacts, artefact, compression, "
        "blocks, blockiness, blocking, squares, jpeg blocks, jpeg compression, mosquito noise, macroblocks, block "
        "artefacts, jpeg blocking, jpeg noise, jpeg damage, compression blocks, compression noise, little squares, "
        "small squares, tiny squares, little blocks, whatsapp, instagram, facebook, messenger, social media"
    ),
    "low-resolution": (
        "low resolution, pixelation, jaggies, jagged edges, aliasing, staircase, stair steps, low res, pixel look, "
        "poor resolution, loss of resolution"
    ),
    "ringing": (
        "ringing, halos, halo, haloes, oversharpening, over sharpening, sharpening halos, ghosting, sharpening "
        "artefacts, white outlines, white edges, edge halos, outlines, ghost edges, ringing artefacts, ringing "
        "artefact, from sharpening, by sharpening, due to sharpening, the sharpening looks"
    ),
    "colour-cast": (
        "colour cast, cast, tint, colour tint, white balance, wrong colours, wrong white balance, yellow cast, blue "
        "cast, green cast, orange cast, red cast, yellow tint, blue tint, green tint, orange tint, red tint, "
        "magenta tint, magenta cast, pink tint, colour balance, yellowing, off colours, strange colours, wrong "
        "colour, bad colours, colour shift, odd colours, orange light, yellow light, blue light, tungsten light, "
        "green light, colour temperature, wrong temperature, yellow look, blue look, green look, orange look, red "
        "look, tinge, yellow tinge, tungsten, neon light, neon lights, fluorescent light, fluorescent, wb, skin tones, "
        "skin colour"
    ),
    "fading": (
        "fading, faded colours, fade, bleaching, lost contrast, no contrast, low contrast, poor contrast, lost "
        "colour, lost its colour, lost its colours, lost their colour, lost all colour, lost its contrast, lost all "
        "its contrast, lost all contrast, vanished, colours have vanished, almost vanished"
    ),
    "clipping": (
        "overexposure, blown highlights, blown out highlights, clipped highlights, burnt highlights, over exposure, "
        "highlights, glare"
    ),
    "aberration": (
        "chromatic aberration, chromatic aberrations, colour fringes, colour fringing, purple fringes, purple "
        "fringing, fringes, fringing, coloured edges, coloured fringes, aberration, fringe, coloured outlines, "
        "lateral colour, purple edges, green edges, ca, lateral ca, fringed edges, purple halos, coloured halos, "
        "purple halo, stripes at the edges, coloured stripes, colour stripes, green outlines, red outlines, red and "
        "green outlines, green and red outlines, green lines, purple lines"
    ),
    "banding": (
        "visible steps, steps in the gradient, banding, bands, posterisation, posterization, gradient steps, colour "
        "bands, colour steps, stripes, contour lines, tonal steps, stepping"
    ),
}
_BAD: Mapping[str, str] = {
    "noise": "noisy, grainy, speckled, speckly, mottled, blotchy, gritty, noisey",
    "blur": (
        "blurry, blurred, unsharp, out of focus, shaky, shaken, fuzzy, soft, unfocused, not sharp, not in focus, "
        "smeared, smeary, smudged, not crisp, motion blurred, wobbly, not focused, misfocused, defocused, mushy, "
        "smudgy, woolly, smushed, mush, not steady, unsteady, illegible, unreadable"
    ),
    "rain": "rainy, rained on, streaky, raining, rained, it rains",
    "snow": "snowy, snowed on, snowing, snowed, it snows",
    "haze": "hazy, foggy, fogged, fogged up, misty, murky, milky, smoky, cloudy, smoggy, veiled",
    "low-light": (
        "dark, underexposed, dim, gloomy, under exposed, badly lit, poorly lit, black, darker, shadowy, not bright "
        "enough, dimly lit, underlit, backlit, pitch black, pitch dark, hardly anything visible, barely visible, "
        "hardly visible, can not see anything, can hardly see, can barely see, hardly see, barely see, barely make "
        "out, hardly make out, can barely make out, can hardly make out"
    ),
    "jpeg": "blocky, compressed, overcompressed, over compressed, jpeggy, jpegged, squashed, squeezed",
    "low-resolution": (
        "pixelated, pixelly, pixely, low res, jagged, is tiny, so tiny, too tiny, tiny picture, tiny photo, tiny "
        "image, pixellated, lowres, low resolution, thumbnail, too few "
        "pixels, too small"
    ),
    "ringing": "oversharpened, over sharpened, too sharp, sharpened too much",
    "colour-cast": (
        "yellowish, bluish, greenish, reddish, orangey, tinted, too yellow, too blue, too green, too red, too "
        "orange, too warm, too cold, too cool, yellowed, too pink, too magenta, off colour, discoloured, gone "
        "magenta, gone yellow, gone blue, gone green, gone orange, gone pink, magenta, turned yellow, looks green, "
        "looks blue, looks yellow, looks orange, looks red, looks pink, look green, look yellow, look orange, look "
        "blue, look red, colours are off, colours are wrong, colour is off, colour is wrong, colours look off, "
        "colours look wrong, turned magenta, turned orange, gone red, turned red, turned pink, turned green, turned "
        "blue, turned purple, too purple, too brown, looks purple, look purple"
    ),
    "fading": (
        "faded, washed out, pale, bleached, washed, flat, dull, drab, lifeless, pallid, contrastless, look dead, "
        "looks dead, look tired, look dull"
    ),
    "clipping": "overexposed, blown out, too bright, burnt out, over exposed",
    "banding": "banded, posterised, posterized, stripy",
}
_WISHES: Mapping[str, str] = {
    "noise": (
        "denoise, denoising, noise reduction, noise removal, de noise, degrain, despeckle, smooth, smoother, smooth "
        "out, denoised, smoothed, cleaner, clean up the noise, smoothing"
    ),
    "blur": (
        "sharpen, sharper, sharpened, sharpening, deblur, unblur, de blur, refocus, crisper, crisp, sharp, in "
        "focus, into focus, crispen, stabilise, stabilize, sharpen up, focus, focused, deblurred, unshake, "
        "deblurring, tack sharp"
    ),
    "rain": "derain, dry, stop the rain, stop raining",
    "snow": "desnow, stop the snow",
    "haze": (
        "dehaze, dehazing, unfog, unhaze, defogging, defog, de haze, clear the air, clear air, demist, see through, "
        "dehazed, clear the view, defogged"
    ),
    "low-light": (
        "brighten, brighter, lighten, lighter, light up, brightened, illuminate, bright, lit, expose, brighten up, "
        "lighten up, brightening, open up the shadows, lift the shadows, raise the shadows, raise shadows, lift "
        "shadows, open shadows, open up shadows, daylight, see in the dark, out of the dark, out of the darkness, "
        "out of the shadows, turn on the light, turn up the light, lighting up, light it up, night into day, let "
        "there be light, turn up the lights, turn on the lights, more lights"
    ),
    "jpeg": "deblock, dejpeg, de block, deartefact, decompress, undo the compression",
    "low-resolution": (
        "super resolve, sr, super resolution, higher resolution, more resolution, high resolution, hi res, higher "
        "res, high res, more pixels, unpixelate, depixelate"
    ),
    "ringing": "dering",
    "colour-cast": (
        "white balance it, neutral whites, neutral, neutral tones, neutral white, neutral colours, natural colours, "
        "neutralise, neutralize, colour correct, correct colours, balance the colours, colour correction, correct "
        "the colours, fix the colours, fix colours, colours right, right colours, true colours, balance colours, "
        "fix its colours, repair the colours, less yellow, less blue, less green, less red, less orange, less pink, "
        "less magenta"
    ),
    "fading": (
        "unfade, bring back the colours, restore the colours, bring the colours back, revive the colours, refresh "
        "the colours, restore colours, revive, colours back, improve the colours, enhance the colours, improve "
        "colours, enhance colours, boost the colours, better colours, richer colours, vivid colours, stronger "
        "colours"
    ),
    "aberration": "defringe",
    "banding": "deband, smooth gradients, smooth the gradient, smooth the gradients, smooth gradient",
}
_GOODS: Mapping[str, str] = {
    "blur": "sharpness, focus, crispness, definition, acutance, detail, details",
    "low-light": "light, brightness, exposure, lighting, illumination",
    "haze": "visibility, clarity",
    "low-resolution": "resolution, pixel count",
    "fading": "vividness, colour depth, saturation, contrast, punch, vibrancy",
}
_PARTS: Mapping[float, str] = {
    0.1: "barely, hardly, ever so slightly, the tiniest bit",
    0.25: "a quarter, one quarter, a fourth",
    0.33: "a third, one third",
    0.35: (
        "a little, a bit, a little bit, slightly, a touch, gently, lightly, subtly, mildly, softly, a tad, a hint, "
        "some, gentle, subtle, mild, a trace, a small amount, careful, carefully, just enough, weakly, weak, small, "
        "minor, slight, a dash, a shade, little, bit, faint, minimally, faintly, a tiny bit, tiny bit, a wee bit, a "
        "smidge, a pinch, delicately, light touch, restrained, go easy, easy does it, touch of, a touch of, gentle "
        "touch, light touch of, hint of, notch"
    ),
    0.5: (
        "half, halfway, by half, partly, partially, moderately, medium, in part, somewhat, not too much, not so "
        "much, not too strong, not too strongly, do not overdo, not overdo, not over do, not completely, not "
        "entirely, not all, not fully, not everything, fifty percent, not too far, not too aggressively, not too "
        "hard, not go too far, natural looking, natural, faithful, realistic, true to the original, close to the "
        "original, believable, naturally, not all of, not go overboard, moderate, to some extent, tone down, "
        "soften, ease, not exaggerate, not too heavily, half strength, half way, without overdoing, not overly, not "
        "by much, not much, not use too much, do not use too much, not apply too much, do not apply too much"
    ),
    0.67: "two thirds, reduce, reducing, reduced, lessen, lower, tame, calm, decrease, quieten, diminish, cut down",
    0.75: "three quarters",
    0.8: "mostly, most, most of, largely, nearly all, almost all, mainly, almost completely",
    1.0: (
        "quite some, quite a lot of, quite a bit of, strongly, fully, completely, entirely, totally, wholly, "
        "heavily, aggressively, thoroughly, a lot, lots, much, really, as much as possible, full, every bit, "
        "strong, radically, hard, very, absolutely, maximum, full strength, as far as possible, properly, max, to "
        "the max, all of it, considerably, significantly, drastically, strong dose, heavy dose, big dose, do not "
        "hold back, not hold back, not hold back on, no holding back"
    ),
}
_OTHERS: Mapping[str, str] = {
    "grain": "grain, film grain, grain of the film, grains, film look, analogue look, film texture, filmic grain",
    "look": (
        "texture, textures, fine detail, fine details, detail, details, skin texture, pores, skin, structure, "
        "crispness, sharpness, fine structure, fabric, hair, skin detail, surface detail, micro detail, fur"
    ),
    "colours": "colours, colour, hues, hue, the colouring, saturation",
    "tones": (
        "brightness, exposure, light, lighting, tones, contrast, mood, moody, atmosphere, darkness, dark, dark "
        "mood, night, night look, shadows, brightness levels, highlights, ambience, moodiness"
    ),
    "remove": (
        "remove, get rid of, rid, take away, take out, take off, delete, clean up, clean, cleaned, eliminate, fix, "
        "fixed, repair, correct, cure, undo, suppress, kill, lose, clear, clear up, clear away, wipe, wipe out, "
        "wipe away, strip, drop, lift, cut, filter, filter out, deal with, handle, address, erase, removed, gone, "
        "go away, removal, removing, clean away, fight, tackle, counter, attack, cut out, fix up, take care of, "
        "solve, sort out, do something about, reverse, banish, minimise, minimize, compensate, scrub, purge, free, "
        "freed, hide, mask, bother, bothers, hate, annoys, annoying, ruins, ruined, spoils, spoiled, disturbs, "
        "distracting, destroy, reduction, work on, improve on, neutralise, straighten out, iron out, put an end to, "
        "end, stop, reduce, reducing, reduced, lessen, lower, tame, calm, decrease, tone down, soften, ease, "
        "quieten, diminish, losing, aggressive on, hard on, strong on, tough on, aggressive with, ruthless with, "
        "heavy on, touch, touching, change, changing, alter, altering, harm, harming, affect, affecting, damage, "
        "damaging, hurt, hurting, mess with, modify, modifying, kills, take, do not want, do not like, unwanted, "
        "too much, cut down, shake off, polish away, dissolve, cut through, see past, blow away, take down, bring "
        "down, what about, how about"
    ),
    "keep": (
        "keep, keeping, leave, leaving, preserve, preserving, retain, retaining, spare, sparing, ignore, ignoring, "
        "maintain, respect, save, hands off, stays, stay, remain, remains, kept, untouched, alone, as it is, as "
        "they are, as is, be left, hold on to, let be, i like, i love, is fine, are fine, is ok, is okay, is good, "
        "is nice, is intentional, is meant, are meant, is wanted, is part of, should be there, belongs, belong, "
        "safe, intact, unchanged, protect, protecting, are intentional, is lovely, is deliberate, are nice, is "
        "beautiful, fine with, not bother, not mind, never mind, not care about, does not bother, do not mind, "
        "happy with, is charming, same, the same, careful with, gentle with, go easy on, easy on, mindful of, be "
        "kind to, is great, is perfect, let it snow, let it rain, left alone, left untouched, left as, not need to "
        "go, not have to go, not need to be, not have to be, need not be, need not go, nothing against"
    ),
    "not": (
        "not, never, no, without, none, nothing of, neither, avoid, avoiding, refrain from, instead of, rather "
        "than, zero, stop short of, isn"
    ),
    "only": (
        "only, just, nothing else, solely, merely, exclusively, purely, nothing more, and nothing else, that is "
        "all, thats all, no more than that, simply"
    ),
    "but": "except, except for, other than, apart from, aside from, excluding, besides, with the exception of, bar",
    "plastic": (
        "plastic, plastic skin, plastic look, waxy, waxy skin, oil painting, painted look, watercolour, over "
        "smooth, over smoothing, oversmoothing, oversmoothed, smoothing skin, plasticky"
    ),
    "place": (
        "not only, not just, bright enough, sharp enough, clear enough, in the shadows, in shadows, in the night, "
        "at night, night shot, night photo, night scene, night picture, dark regions, in the dark regions, dark "
        "corners, dark areas, in the dark parts, in dark areas, in the dark areas, shadows are, shadows have, "
        "shadows look, in the blacks, on everything, in everything, over everything"
    ),
    "amid": ("in the rain, in the snow, in the fog, in the mist, in the haze, in rain, in snow, in fog, in mist"),
    "all but": (
        "all but, all except, everything but, everything except, anything but, anything except, nothing but, "
        "anything other than, everything other than, nothing except, everything apart from, everything besides"
    ),
    "all": (
        "everything, all faults, all defects, all problems, whatever is wrong, all of the faults, all damage, "
        "anything wrong, all issues, whatever you find, all the faults, all the defects, all the problems, any "
        "defects, any faults, every fault, every defect, whatever it needs, anything, what is wrong, all flaws, all "
        "the flaws, all degradation, all degradations, whatever is broken, everything wrong"
    ),
    "rest": (
        "everything else, anything else, the rest, all else, other things, the others, the other things, all other "
        "things, others, whatever else, rest, all the rest, other"
    ),
    "more": (
        "more, increase, boost, improve, raise, better, bring out, enhance, higher, needs, need, lacks, lacking, "
        "lack, missing, not enough, too little, recover, regain, gain, get, want, give, restore, give me, bring "
        "back, pull up, push, turn up, strengthen, wants, crank up, up, add, adding, adjust"
    ),
    "less": "less, fewer, weaker, not so, not as, not that, not quite so, down",
    "add": (
        "add, worse, worsen, put back, bring back, adding, put, introduce, apply, simulate, give it, give me, "
        "overlay, sprinkle, create"
    ),
    "make": (
        "make, as if, as though, turn, render, get, should be, needs to be, must be, want it, like it, would be, "
        "have it, making, could be, let it be, become, making it, look, could you"
    ),
    "is": (
        "is, are, was, were, looks, look, seems, appears, there, has, have, got, came out, turned out, suffers, "
        "full of, has got, came, moved, shook, trembled, trembling, my hands, rained, snowed, suffers from, there "
        "is, there are, there was, covered, taken, can not see, could not see, hard to see"
    ),
    "restore": (
        "restore, improve, enhance, repair, fix, clean up, clean, better, rescue, polish, refresh, retouch, touch "
        "up, work your magic, magic, do your thing, do your job, professional, amazing, stunning, wonderful, "
        "gorgeous, lovely, save, make it look good, make it look better, nicer, look good, best, do your best, "
        "beautify, renovate, revive, cleanup, tidy, tidy up, help, perfect, optimise, optimize, auto, as good as "
        "new, restoration, enhancement, good, great, freshen up, beautiful, beautiful again, pretty again, shine, "
        "whatever you think, whatever is necessary, whatever is needed, what is necessary, what is needed, what you "
        "can, look new, look like new, like new, make it pop, clearer, dslr, award winning, like a photographer, as "
        "a photographer, mess, messed up, quality, overhaul, look nice"
    ),
    "picture": (
        "picture, photo, photograph, image, shot, scan, snapshot, it, this, everything in it, pic, portrait, print, "
        "negative, slide, photos, pictures, images, scene, frame, old photo"
    ),
}
_EDITS: Mapping[str, str] = {
    "colorize": "colourise, colourize, colorise, colorize, add colour, colour it in, put colour in, colourisation",
    "inpaint": (
        "scratch, scratches, tear, tears, crack, cracks, crease, creases, stain, stains, dust, watermark, remove "
        "the person, remove the man, remove the woman, remove the people, remove people, fill the hole, hole, "
        "holes, inpaint, text overlay, red eyes, red eye, power lines, tourists, logo, date stamp, torn, scratched, "
        "cracked"
    ),
    "an image editor": (
        "crop, rotate, straighten, flip, resize, shrink, smaller, sepia, black and white, vignette, remove the "
        "background, blur the background, cut out the subject, frame it, caption it, hdr, bokeh, warmer, cooler, "
        "more vivid, cartoon, painting, darken, darkening, paint, replace, swap, swap out, change the sky"
    ),
}
_SCALES: Mapping[float, str] = {
    0.0: (
        "enlarge, enlarged, bigger, larger, upscale, upsample, upscaled, upscaling, enlargement, magnify, increase "
        "the size, blow it up, blow up, poster size, print size, enlarging, scale up, enhance the size, lacking "
        "size, larger size, too little"
    ),
    2.0: (
        "twice as large, twice as big, twice the size, double the size, twice its size, double size, double the "
        "resolution, twice the resolution, double its size, doubled, twice"
    ),
    3.0: "triple the size, triple, triple its size",
    4.0: "quadruple, quadruple the size",
}
"""Factors of the sides; 0 where no number is said. Numbers in figures are read by `words.wishes`."""

JOINTS = (
    *",;:.!?", "but", "and", "then", "while", "although", "though", "however", "yet", "or", "plus", "also", "nor",
    "whereas", "so", "because", "since", "even", "if", "which", "that", "where", "as",
)  # fmt: skip
"""Signs and words between clauses."""

_PLAIN = (
    "a about above after again all also am an any are area areas around at background be beach been before being "
    "below between birthday bit both building by camera can cannot car cat child children city corner corners "
    "could dear did do does dog doing dont down during each edge edges either else enough ever every face faces "
    "family father few film find flower for foreground from further go grandfather grandmother had hand has have "
    "having he hello her here hers hey hi him his holiday house how i image in into its just kindly last lens "
    "like little look looking looks lot made man many may me might mine most mother mountain mountains must my "
    "near new next nice of off ok okay old on once one our out over own part people per person phone picture "
    "place please pretty quite really river road same see she should show sky so someone something still street "
    "such sure take than thank thanks that the their them these they thing things think this those through to "
    "together trees try two under until up us use very want was way we wedding well were what when which who "
    "whole why will window wish with woman would you your yourself "
)


_NEAR = (
    "while senior shows contract greek remaining broke sleep showed share spoke shirt sweet revolution shape write "
    "stock struck banks demand shock shoot movements cloud wished shower burst remote sharing stops turner writes "
    "sheet flames lightning ranging snake brings burns slept banned stranger failing binding clouds filling banking "
    "stake swear bitter shane blank speaks shaft swift streams strikes shame bonds brands slowed halls tilted stack "
    "resolved errors tonnes branded raids locks ghosts shark boring butter spear strangers stems drain strips edged "
    "tunes stoke demise blows wasted brock strangely starr bending rails daring supper norse famed railing branding "
    "forged greet hangs slowing groom clapped shear messed shale chrome blurted raided handy reins granny bonding "
    "broker shaping tremble binds bonded brink banning sleek strangled superb greed misses strides banging messing "
    "banged trough bends raiding peppers halves batter banda snuck missy swearing searing jagger lighted fated "
    "shave jogged ruining bangs regaining clapping square shadow showing total course tried sports fingers lives "
    "steel theme finger stayed shall smell stream stick nights grave boots genre links shots stopping likes steal "
    "patch frost graves lanes clare liner brows scots tires stall denise neural tuned loops thorough soothing blush "
    "fridge sensory temperate theirs linen literal talon slots proton richter fronts steak barley timed soaking "
    "skaters tingle riches magnate sargent gravely tiled hardy browne sharpe shady stairs lowers rainer greene greer "
)
NEAR_WORDS = frozenset(_NEAR.split())
"""Common words that are a letter from one that matters, and mean something else: they are no slips."""

MENDED_VERBS = (
    "remove", "removal", "reduce", "reduction", "repair", "restore", "increase", "preserve", "colours", "brightness",
    "sharpness", "contrast", "texture", "slightly", "strength", "enlarge", "upscale",
)  # fmt: skip
"""What else is mended where it is mistyped."""


@cache
def plain_words() -> frozenset[str]:
    """Words of plain English that ask for nothing, and those of all phrases."""
    return frozenset(_PLAIN.split()) | {word for phrase in phrases() for word in phrase}


@cache
def phrases() -> Mapping[tuple[str, ...], tuple[tuple[Role, object], ...]]:
    """Of every phrase, as words, what it may be: pairs of a role and a value."""
    found: dict[tuple[str, ...], tuple[tuple[Role, object], ...]] = {}
    for phrase, role, value in _all_phrases():
        words = tuple(phrase.replace("-", " ").split())
        if words and (role, value) not in found.get(words, ()):
            found[words] = (*found.get(words, ()), (role, value))
    return found


def _all_phrases() -> Iterator[tuple[str, Role, object]]:
    tables = (("fault", _FAULTS), ("bad", _BAD), ("wish", _WISHES), ("good", _GOODS), ("amount", _PARTS))
    for role, table in (*tables, ("edit", _EDITS), ("scale", _SCALES)):
        for value, texts in table.items():
            yield from ((text.strip(), role, value) for text in texts.split(","))
    for role, texts in _OTHERS.items():
        yield from ((text.strip(), role, None) for text in texts.split(","))
    for role, shared in (("fault", KIND_WORDS), ("bad", KIND_ADJECTIVES)):
        for kind, listed in shared.items():
            # What the encoder's sentences call so is said of other things by people: grain is kept, pixels are counted.
            yield from ((one, role, kind) for one in listed if one not in _AMBIGUOUS)


_AMBIGUOUS = {"grain", "film grain", "pixels", "small size", "upscaling", "too few pixels", "static", "tiny"}
