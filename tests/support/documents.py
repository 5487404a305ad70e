"""A small document, as `results.json` holds it, for the tests of what is made from one."""

COLOUR, GREY = "gaussian-colour", "gaussian-grey"
FIRST, SECOND = ("kodak24", "noise sigma=15", COLOUR), ("kodak24", "noise sigma=50", COLOUR)
THIRD = ("set12", "noise sigma=25", GREY)


def row(model, column, photograph, psnr, **others):
    data, condition, protocol = column
    named = {"model": model, "data": data, "condition": condition, "protocol": protocol, "photograph": photograph}
    return named | {"psnr": psnr, "ssim": 0.9, "seconds": None, "memory": None} | others


def summary(model, column, psnr, ssim, **others):
    data, condition, protocol = column
    named = {"model": model, "data": data, "condition": condition, "protocol": protocol, "photographs": 3}
    unknown = ("psnr_interval", "seconds", "memory", "gain", "gain_interval", "gain_p")
    return named | {"psnr": psnr, "ssim": ssim} | dict.fromkeys(unknown) | others


def quoted(model, column, psnr, source="PTG-RM table 8", ssim=None):
    data, condition, protocol = column
    named = {"table": "ptgrm-8", "model": model, "data": data, "condition": condition, "protocol": protocol}
    return named | {"psnr": psnr, "ssim": ssim, "source": source}


def document(plain="plain", boosted="boosted"):
    """Two protocols, three columns, two models, an infinite score, quoted numbers with and without a protocol."""
    gain = {"gain": 0.25, "gain_interval": [0.2, 0.3], "gain_p": 0.001}
    return {
        "format": 1,
        "pellucid": "0.1.0",
        "made": {
            "models": {plain: {"file": "plain.safetensors", "sha256": "ab" * 32, "parameters": 5890000}, boosted: {}},
            "data": ["kodak24", "set12"],
            "seed": 0,
            "date": "2026-06-01",
        },
        "protocols": {COLOUR: f"{COLOUR}: compared in RGB", GREY: f"{GREY}: compared in grey"},
        "summaries": [
            summary("degraded", FIRST, 24.61, 0.45),
            summary(plain, FIRST, 33.5, 0.91, psnr_interval=[33.1, 33.9], seconds=0.2, memory=118_000_000),
            summary(boosted, FIRST, 33.75, 0.92, **gain),
            summary("degraded", SECOND, 14.15, 0.12),
            summary(plain, SECOND, 27.904, 0.781),
            summary(boosted, SECOND, 27.896, 0.779, gain=-0.008, gain_interval=[-0.1, 0.1]),
            summary("degraded", THIRD, 20.17, 0.4),
            summary(plain, THIRD, None, 1.0),
        ],
        "rows": [
            row("degraded", FIRST, "a.png", 24.0),
            row(plain, FIRST, "a.png", 33.0, seconds=0.25, memory=118_000_000),
            row(boosted, FIRST, "a.png", 33.1),
            row("degraded", FIRST, "sub/zoë.png", 25.0),
            row(plain, FIRST, "sub/zoë.png", 34.0, seconds=0.125),
            row(boosted, FIRST, "sub/zoë.png", 34.5),
            row("degraded", SECOND, "a.png", 14.0),
            row(plain, SECOND, "a.png", 28.0, seconds=1.5),
            row("degraded", THIRD, "10.png", 20.0),
            row(plain, THIRD, "10.png", None),
        ],
        "quoted": [
            quoted("Restormer", THIRD, 33.42),
            quoted("Elsewhere", (*FIRST[:2], None), 99.0, source="A page that says nothing"),
        ],
    }
