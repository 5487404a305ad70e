"""A report in a real browser: sorting, filtering, keyboard, and nothing asked of the network."""

import shutil
import time

import pytest
import torch

from pellucid.evaluation.reports.figures import FigurePlace, Figures
from pellucid.evaluation.reports.html import as_html
from pellucid.evaluation.reports.page import write_page
from support.documents import FIRST, document

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium")
CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("no chromium with its driver", allow_module_level=True)

HOSTILE = "<img src=x onerror=\"document.title='hurt'\"><script>document.title = 'hurt'</script>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for word in ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
                 "disable-component-update", "disable-sync", "window-size=1200,900",
                 f"user-data-dir={profile}"):  # fmt: skip
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, tmp_path):
    clean = torch.rand(1, 3, 30, 40)
    for model in ("degraded", "plain", HOSTILE):
        Figures(tmp_path).save(FigurePlace(*FIRST, "a.png"), model, clean, degraded=clean, clean=clean)
    write_page(as_html(document(boosted=HOSTILE), tmp_path), tmp_path / "report.html")
    browser.get((tmp_path / "report.html").as_uri())
    yield browser
    assert browser.get_log("browser") == []
    assert browser.title == f"Evaluation: plain, {' '.join(HOSTILE.split())}"
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []


def column(page, number):
    """The texts of a column of the table of all photographs, hidden rows left out."""
    return page.execute_script(
        "return [...document.querySelectorAll('#rows tbody tr:not([hidden])')]"
        ".map((r) => r.cells[arguments[0]].textContent)",
        number,
    )


def head(page, number):
    return page.find_elements("css selector", "#rows thead th")[number]


def click(page, element):
    page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    element.click()


def test_sorting_by_numbers_up_and_down(page):
    click(page, head(page, 5).find_element("css selector", "button"))
    rising = ["14.00", "20.00", "24.00", "25.00", "28.00", "33.00", "33.10", "34.00", "34.50", "∞"]
    assert column(page, 5) == rising
    assert head(page, 5).get_attribute("aria-sort") == "ascending"
    click(page, head(page, 5).find_element("css selector", "button"))
    assert column(page, 5) == rising[::-1]
    assert head(page, 5).get_attribute("aria-sort") == "descending"


def test_what_is_missing_comes_last_both_ways(page):
    for expected in (["125 ms", "250 ms", "1.50 s"], ["1.50 s", "250 ms", "125 ms"]):
        click(page, head(page, 8).find_element("css selector", "button"))
        assert column(page, 8) == expected + [""] * 7


def test_sorting_by_keyboard_and_only_one_column_says_so(page):
    click(page, head(page, 5).find_element("css selector", "button"))
    button = head(page, 0).find_element("css selector", "button")
    page.execute_script("arguments[0].focus()", button)
    button.send_keys("\ue007")  # Enter
    assert column(page, 0) == [*["10.png"] * 2, *["a.png"] * 5, *["sub/zoë.png"] * 3]
    sorts = [cell.get_attribute("aria-sort") for cell in page.find_elements("css selector", "#rows thead th")]
    assert sorts == ["ascending"] + ["none"] * 9


def eventually(seen, expected):
    """Browsers take their time on a busy machine."""
    end = time.monotonic() + 60
    while seen() != expected and time.monotonic() < end:
        time.sleep(0.05)
    assert seen() == expected


def test_filters_join_and_are_counted(page):
    def count():
        return page.find_element("css selector", "output").text

    eventually(count, "10 of 10 rows")
    model = page.find_element("css selector", "select[data-column='1']")
    click(page, model.find_elements("css selector", "option")[2])
    eventually(count, "4 of 10 rows")
    assert set(column(page, 1)) == {"plain"}
    page.find_element("css selector", "input[type=search]").send_keys("ZOË kodak24")
    eventually(lambda: column(page, 0), ["sub/zoë.png"])
    click(page, head(page, 5).find_element("css selector", "button"))  # sorting keeps the filter
    eventually(lambda: column(page, 0), ["sub/zoë.png"])
    click(page, page.find_element("css selector", "button[type=reset]"))
    eventually(count, "10 of 10 rows")


def test_a_hostile_name_can_be_filtered_by(page):
    option = next(option for option in page.find_elements("css selector", "option") if option.text.startswith("<img"))
    click(page, option)
    assert set(column(page, 1)) == {HOSTILE}


def test_the_enlarged_crop_flips_between_the_models(page):
    crops = page.find_elements("css selector", ".crop")
    click(page, crops[0])
    loupe = page.find_element("css selector", "#loupe")
    assert loupe.is_displayed()
    assert "degraded" in loupe.text
    page.switch_to.active_element.send_keys("\ue014")  # right
    assert "plain" in loupe.text
    page.switch_to.active_element.send_keys("\ue012" * 2)  # left, twice: round to the last one
    assert "clean" in loupe.text
    assert loupe.find_element("css selector", "img").get_attribute("src") == crops[3].find_element(
        "css selector", "img"
    ).get_attribute("src")
    page.switch_to.active_element.send_keys("\ue00c")  # Escape
    assert not loupe.is_displayed()
