"""Opens the page in a headless Chromium, uses it as a person would, and saves what it shows.

    python experiments/maintenance/page_pictures.py cat.jpg --out docs/pictures

Needs Debian's packages chromium and chromium-driver, and pip install ".[app,browser-test]". The slow test of the page
uses the same steps.
"""

import contextlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from experiments.harness.reporting.figures import png_bytes
from experiments.harness.running import runs
from experiments.harness.running.errors import UserError, run_main
from experiments.harness.running.parser import Parser
from tfnmt import pretrained

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-quic",
         "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--hide-scrollbars", "--window-size=1240,1300")  # fmt: skip
SECONDS = 60
ADDRESS = "The page: "


@contextlib.contextmanager
def served(*options):
    """The page's server in a process of its own; gives the process and the page's address."""
    command = [sys.executable, "-u", str(ROOT / "experiments" / "app.py"), "--no-browser", *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            lines = []
            for line in server.stdout:
                lines.append(line)
                if line.startswith(ADDRESS):
                    yield server, line.removeprefix(ADDRESS).split()[0]
                    break
            else:
                raise UserError(f"the page did not start: {''.join(lines)[-500:]}")
        finally:
            server.terminate()


@contextlib.contextmanager
def opened(address):
    """The page in a Chromium of its own; gives Selenium's driver, which keeps a log of all requests."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        try:
            driver.get(address)
            yield driver
        finally:
            driver.quit()


def find(driver, selector, text=""):
    """The first visible element of a CSS selector that shows a text, waited for."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    def look(driver):
        found = driver.find_elements("css selector", selector)
        return next((e for e in found if text in e.text and (e.is_displayed() or e.tag_name == "input")), None)

    wait = WebDriverWait(driver, SECONDS, ignored_exceptions=(StaleElementReferenceException,))
    return wait.until(look, f"{selector} {text}")


def open_tab(driver, title):
    """Opens one of the page's tabs, or a tab within one."""
    find(driver, "button[role=tab]", title).click()


def segment(driver, photo):
    """Uploads a photo, clicks, and downloads the results: `{"mask": PIL.Image, "overlay": ..., "cut-out": ...}`."""
    find(driver, "#photo input[type=file]").send_keys(str(Path(photo).resolve()))
    find(driver, "#photo img")
    find(driver, "#find").click()
    find(driver, "#photo-line", "foreground")
    find(driver, "#overlay img")
    links = [link.get_attribute("href") for link in driver.find_elements("css selector", "#files a")]
    return {link.rpartition(f"{Path(photo).stem}-")[2].removesuffix(".png"): _download(link) for link in links}


def _download(link):
    with urllib.request.urlopen(link) as reply:
        return Image.open(io.BytesIO(reply.read()))


def send_in(driver, data, label, place=(0.5, 0.5)):
    """Opens the second tab, chooses a dataset, clicks on its sheet of test images and sends one in under a label.

    `place` is where to click, as shares of the sheet's width and height. Returns the text of the judges' readings.
    """
    from selenium.webdriver import ActionChains

    open_tab(driver, "Image under any label")
    find(driver, "#readings table")
    open_tab(driver, "Test image")
    if f"trained on {data}" not in find(driver, "#about").text:
        find(driver, "#data label", data).click()
        find(driver, "#about", f"trained on {data}")
    sheet = find(driver, "#samples img")
    across, down = (
        round((share - 0.5) * sheet.size[side]) for share, side in zip(place, ("width", "height"), strict=True)
    )
    ActionChains(driver).move_to_element_with_offset(sheet, across, down).click().perform()
    find(driver, "#asked label", label).click()
    return find(driver, "#readings", f"under {label}").text


def draw(driver, moves):
    """Draws a line on the sketch pad of the second tab, by moves in pixels from its middle, and sends it in."""
    from selenium.webdriver import ActionChains

    open_tab(driver, "Draw")
    canvas = find(driver, "#drawing canvas")
    actions = ActionChains(driver).move_to_element_with_offset(canvas, *moves[0]).click_and_hold()
    for move in moves[1:]:
        actions.move_by_offset(*move)
    actions.release().perform()
    find(driver, "#send-drawing").click()
    return find(driver, "#readings", "your picture").text


def translate(driver, text):
    """Translates a text in the third tab; returns the French, once its attention map is there."""
    open_tab(driver, "English to French")
    box = find(driver, "#english textarea")
    box.clear()
    box.send_keys(text)
    find(driver, "#translate").click()
    find(driver, "#attention table", text.split()[-1].strip("."))
    return find(driver, "#french textarea").get_attribute("value")


def requests_elsewhere(driver, address):
    """Addresses outside the page's own that the browser asked for since this was last called."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return sorted({url for url in urls if url.startswith(("http", "ws")) and not url.startswith(address)})


def settle(driver, seconds=1.0):
    """Waits until the page has shown no progress for some time."""
    quiet_since, end = time.monotonic(), time.monotonic() + SECONDS
    while time.monotonic() < min(quiet_since + seconds, end):
        text = driver.find_element("tag name", "body").text
        if "processing |" in text or "queue:" in text:
            quiet_since = time.monotonic()
        time.sleep(0.1)


def save_screenshot(driver, path):
    """Saves what the browser shows once nothing is being computed, in 256 colours."""
    settle(driver)
    image = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    runs.write_atomic(path, png_bytes(image.quantize(256)))
    print(path)


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("photo", type=Path, help="a photo of a pet")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures", metavar="DIR", help="where to write")
    return parser.parse_args(argv)


def main():
    args = parse_arguments()
    if not args.photo.is_file():
        raise UserError(f"{args.photo} is not a file")
    if not (CHROMIUM and DRIVER):
        raise UserError("this needs Debian's packages chromium and chromium-driver")
    with served() as (_, address), opened(address) as driver:
        segment(driver, args.photo)
        save_screenshot(driver, args.out / "page-photo.png")
        for data, label, place in (("mnist", "8", (0.75, 0.7)), ("cifar10", "horse", (0.05, 0.5))):
            send_in(driver, data, label, place)
            save_screenshot(driver, args.out / f"page-{data}.png")
        if pretrained.included():
            translate(driver, "Two dogs are running on the beach.")
            save_screenshot(driver, args.out / "page-translation.png")


if __name__ == "__main__":
    sys.exit(run_main(main))
