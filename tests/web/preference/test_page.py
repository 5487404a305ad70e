"""The page in a real browser: someone goes through a small study with keyboard, mouse and fingers."""

import shutil
import threading
import time

import numpy as np
import pytest
import pyvips

from pellucid.studies.preference.votes import read_votes
from support.small_study import NAMES, picture

pytest.importorskip("selenium", reason="selenium is not installed: pip install 'pellucid[dev]'")
pytest.importorskip("starlette", reason="starlette is not installed: pip install 'pellucid[web]'")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'pellucid[web]'")

import uvicorn
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from pellucid.web.preference.server import listen, make_app

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
HEIGHT, WIDTH = 120, 200

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER),
    reason="this test drives chromium through chromedriver; one of them is not installed",
)


class Server:
    """A study on a port that stays the same when it is stopped and started again."""

    def __init__(self, make_study):
        self.make_study, self.port = make_study, 0

    def start(self):
        self.study = self.make_study(ties=True)
        listening = listen("127.0.0.1", self.port)
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(make_app(self.study), log_level="critical", lifespan="off", ws="none")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listening]})
        self.thread.start()

    def stop(self):
        self.server.should_exit = self.server.force_exit = True
        self.thread.join()
        self.study.ledger.close()


@pytest.fixture
def server(study_folders, make_study):
    for which, folder in enumerate(("alpha_net", "beta_net", "degraded")):
        for number, name in enumerate(NAMES):
            picture(study_folders / folder / f"{name}.png", HEIGHT, WIDTH, seed=10 * which + number)
    server = Server(make_study)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--force-color-profile=srgb",
        "--window-size=1200,800",
        f"--user-data-dir={tmp_path / 'browser'}",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
    yield driver
    driver.quit()


class Page:
    """What a person sees and does."""

    def __init__(self, driver):
        self.driver = driver

    def until(self, script, what):
        """Waits until the script says true."""
        end = time.monotonic() + 60
        while not self.driver.execute_script(f"return Boolean({script})"):
            assert time.monotonic() < end, what
            time.sleep(0.02)

    def trial(self, number):
        """Waits until this trial can be answered."""
        progress = f"document.querySelector('#progress').textContent === '{number} of {len(NAMES)}'"
        self.until(f"{progress} && !document.querySelector('#trial').hidden && !busy", f"no trial {number}")
        self.until("performance.now() - shownAt > GUARD", "the guard stays")

    def press(self, keys):
        ActionChains(self.driver).send_keys(keys).perform()

    def pane(self, side):
        return self.driver.find_element(By.CSS_SELECTOR, f".pane[data-side={side}]")

    def button(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def shown(self):
        """Of both panes: address, place in the pane, size, rendering of the picture that is visible."""
        return self.driver.execute_script(
            """return panes.map((pane) => {
              const [image, another] = pane.querySelectorAll('img.shown');
              if (another) throw 'more than one picture';
              const at = image.getBoundingClientRect(), box = pane.getBoundingClientRect();
              const rendering = getComputedStyle(image).imageRendering;
              return [image.src, at.left - box.left, at.top - box.top, at.width, at.height, rendering];
            })"""
        )

    def view(self):
        """Place, size and rendering of the pictures, which must be the same on both sides."""
        (*left, how), (*right, how_right) = (one[1:] for one in self.shown())
        assert left == pytest.approx(right, abs=1e-3)
        assert how == how_right
        return [round(value, 3) for value in left] + [how]

    def pixels(self, side):
        """The picture that is visible on a side, as the browser decodes it: (H, W, 3)."""
        flat = self.driver.execute_script(
            """const image = document.querySelector(`.pane[data-side=${arguments[0]}] img.shown`);
            const canvas = document.createElement('canvas');
            canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
            const context = canvas.getContext('2d');
            context.drawImage(image, 0, 0);
            return [...context.getImageData(0, 0, canvas.width, canvas.height).data];""",
            side,
        )
        return np.array(flat, dtype=np.uint8).reshape(HEIGHT, WIDTH, 4)[..., :3]

    def screen(self, side):
        """The part of the screen where the picture of a side is."""
        whole = pyvips.Image.new_from_buffer(self.driver.get_screenshot_as_png(), "").numpy()[..., :3]
        _, x, y, width, height, _ = self.shown()[("left", "right").index(side)]
        box = self.pane(side).rect
        left, top = round(box["x"] + x), round(box["y"] + y)
        return whole[top : top + round(height), left : left + round(width)]


def origin(pixels, study_folders):
    """The (folder, name) of the file with these pixels."""
    for folder in ("alpha_net", "beta_net", "degraded"):
        for name in NAMES:
            truth = pyvips.Image.new_from_buffer((study_folders / folder / f"{name}.png").read_bytes(), "").numpy()
            if (truth == pixels).all():
                return folder, name
    raise AssertionError("no such picture")


def test_someone_goes_through_a_study(server, browser, study_folders):
    page = Page(browser)
    browser.get(f"http://127.0.0.1:{server.port}/")
    page.until("!document.querySelector('#welcome').hidden", "no welcome")
    expected = []

    def expect(side):
        """Notes which system on which photograph a vote for this side is for, by the pixels on the screen."""
        folder, name = origin(page.pixels(side), study_folders)
        expected.append((name, {"alpha_net": "a", "beta_net": "b"}[folder]))

    def no_names():
        source = browser.page_source + repr(page.shown())
        assert not any(name in source for name in (*NAMES, "alpha_net", "beta_net", "degraded", str(study_folders)))

    # By keyboard.
    page.press(Keys.ENTER)
    page.trial(1)
    no_names()
    names = {origin(page.pixels(side), study_folders) for side in ("left", "right")}
    assert {folder for folder, _ in names} == {"alpha_net", "beta_net"}
    assert len({name for _, name in names}) == 1
    expect("left")
    page.press("1")
    page.trial(2)

    # A reload shows the same trial, without the welcome.
    before = page.shown()
    browser.refresh()
    page.trial(2)
    assert page.shown() == before

    # A double click votes once.
    expect("right")
    ActionChains(browser).double_click(page.button("[data-choice=right]")).perform()
    page.trial(3)
    time.sleep(0.3)
    page.trial(3)
    assert len(read_votes(study_folders / "out")) == 2

    # Away and back: the same trial, no vote more.
    browser.get("about:blank")
    browser.back()
    page.trial(3)
    assert len(read_votes(study_folders / "out")) == 2

    # The server goes away in the middle; the vote waits until it is back.
    expect("left")
    server.stop()
    page.press(Keys.ARROW_LEFT)
    page.until("document.querySelector('#notice').textContent.includes('No connection')", "no notice")
    server.start()
    page.trial(4)
    no_names()
    assert browser.execute_script("return document.querySelector('#notice').hidden")

    # The last one, by keyboard again, with a tie; then thanks, also after a reload.
    expected.append((origin(page.pixels("left"), study_folders)[1], "tie"))
    page.press("0")
    page.until("!document.querySelector('#thanks').hidden", "no thanks")
    browser.refresh()
    page.until("!document.querySelector('#thanks').hidden", "no thanks")

    votes = read_votes(study_folders / "out")
    assert [(vote.photograph, vote.choice) for vote in votes] == expected
    assert len({vote.participant for vote in votes}) == 1

    # Another person begins at the beginning.
    page.button("#another").click()
    page.until("!document.querySelector('#welcome').hidden", "no welcome")
    page.button("#start").click()
    page.trial(1)
    page.button("[data-choice=left]").click()
    page.trial(2)
    assert len({vote.participant for vote in read_votes(study_folders / "out")}) == 2

    said = [line["message"] for line in browser.get_log("browser")]
    assert not [line for line in said if "ERR_CONNECTION_REFUSED" not in line and "ERR_EMPTY" not in line], said


def test_both_pictures_move_together(server, browser, study_folders):
    page = Page(browser)
    browser.get(f"http://127.0.0.1:{server.port}/")
    page.until("!document.querySelector('#welcome').hidden", "no welcome")
    page.press(Keys.ENTER)
    page.trial(1)

    # The whole picture, its pixels doubled, as three times would be too large.
    whole = page.view()
    assert whole[2:] == [2 * WIDTH, 2 * HEIGHT, "pixelated"]

    # Buttons: so many screen pixels for each of the picture.
    for zoom in (1, 4, 2):
        page.button(f"[data-zoom='{zoom}']").click()
        assert page.view()[2:4] == [zoom * WIDTH, zoom * HEIGHT]
        pressed = browser.find_elements(By.CSS_SELECTOR, "[data-zoom][aria-pressed=true]")
        assert [one.get_attribute("data-zoom") for one in pressed] == [str(zoom)]
    page.button("[data-zoom=fit]").click()
    assert page.view() == whole

    # What is on the screen is the picture, pixel for pixel, in whole multiples.
    for zoom in (1, 2):
        page.button(f"[data-zoom='{zoom}']").click()
        for side in ("left", "right"):
            truth = page.pixels(side).repeat(zoom, 0).repeat(zoom, 1)
            np.testing.assert_array_equal(page.screen(side), truth)

    # Keys.
    page.press("+")
    assert page.view()[2] > whole[2]
    page.press("-")
    assert page.view()[2] == whole[2]
    page.press("z")
    assert page.view()[2] == 4 * WIDTH
    page.press("z")
    assert page.view() == whole
    page.button("[data-zoom='4']").click()
    place = page.view()
    ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT).key_up(Keys.SHIFT).perform()
    moved = page.view()
    assert moved[0] < place[0]
    assert moved[1:] == place[1:]

    # The wheel, over a point of the left picture, which stays under the pointer.
    page.button("[data-zoom='4']").click()
    left = page.pane("left")
    box = left.rect
    x, y = 100, 60  # from the middle of the pane
    before = page.view()
    ActionChains(browser).move_to_element_with_offset(left, x, y).perform()
    browser.execute_cdp_cmd(
        "Input.dispatchMouseEvent",
        {
            "type": "mouseWheel",
            "x": box["x"] + box["width"] / 2 + x,
            "y": box["y"] + box["height"] / 2 + y,
            "deltaX": 0,
            "deltaY": -120,
        },
    )
    page.until(
        f"document.querySelector('.pane img').getBoundingClientRect().width > {before[2] + 1}", "the wheel does nothing"
    )
    after = page.view()
    for axis, (offset, side) in enumerate(((x, box["width"]), (y, box["height"]))):
        point = [(side / 2 + offset - one[axis]) / one[2 + axis] for one in (before, after)]
        assert point[0] == pytest.approx(point[1], abs=2 / WIDTH)

    # The mouse, on the right one.
    ActionChains(browser).drag_and_drop_by_offset(page.pane("right"), -50, 30).perform()
    dragged = page.view()
    assert (dragged[0], dragged[1]) == pytest.approx((after[0] - 50, after[1] + 30), abs=1.01)

    # Two fingers, apart by twice as much.
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.button("[data-zoom='4']").click()
    for kind, spread in (("touchStart", 40), ("touchMove", 60), ("touchMove", 80), ("touchEnd", None)):
        points = [{"x": middle[0] + sign * spread, "y": middle[1]} for sign in (-1, 1)] if spread else []
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert page.view()[2] == pytest.approx(8 * WIDTH, rel=0.02)

    # The input, on both sides, in the same place; and back.
    view, results = page.view(), page.shown()
    page.press("i")
    page.until("panes.every((pane) => pane.dataset.label === 'Input')", "no input")
    assert page.view() == view
    assert origin(page.pixels("left"), study_folders)[0] == origin(page.pixels("right"), study_folders)[0] == "degraded"
    page.button("#input").click()
    page.until("panes.every((pane) => !pane.dataset.label)", "the input stays")
    assert page.shown() == results

    # A narrow screen: one above the other.
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 780, "deviceScaleFactor": 3, "mobile": True}
    )
    page.until("document.body.classList.contains('rows')", "the pictures stay side by side")
    page.button("[data-zoom='1']").click()
    assert page.view()[2] == pytest.approx(WIDTH / 3, abs=1e-3)
    assert page.button("[data-choice=left]").text.startswith("Upper")
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")

    assert len(server.study.ledger) == 0
    origins = browser.execute_script(
        "return performance.getEntriesByType('resource').map((one) => new URL(one.name).origin)"
    )
    assert set(origins) == {f"http://127.0.0.1:{server.port}"}
    assert browser.get_log("browser") == []
