"""A visitor: one page in a real browser, and what a person would do on it."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page

from tests.ui.server import Server

MACHINE_TOKEN = "hf_machine" + "m" * 24  # the server's own, which must never serve a visitor
AXE = Path(__file__).parents[2] / "nca/player/node_modules/axe-core/axe.min.js"
# Gradio fills in what a fold holds a frame after it is shown.
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
# Gradio's container hides what leaves it at the sides.
FITS = """document.documentElement.scrollWidth <= innerWidth
  && [...document.querySelectorAll('h1, h2, h3, h4, p, figcaption')]
    .every((e) => !e.checkVisibility() || e.scrollWidth <= e.clientWidth + 1)"""
SCREENSHOTS = os.environ.get("NCA_SCREENSHOTS")
SCREENS = ((1920, 1080), (1280, 800), (390, 844))
TINY = {
    "#size": 16, "#padding": 4, "#batch": 2, "#damage-count": 1, "#pool-size": 16,
    "#steps-min": 16, "#steps-max": 24, "#channels": 8,
}  # fmt: skip


class Visit:
    """One visitor's page, with the requests it made and the errors it met."""

    def __init__(self, page: Page, url: str, tab: str | None = "Train", query: str = "") -> None:
        self.page, self.url = page, url
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(120_000)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.open(query, tab)

    def open(self, query: str = "", tab: str | None = "Train") -> None:
        """Open the page, and then a tab; None stays on the first screen."""
        self.page.goto(self.url + query)
        if tab:
            self.tab(tab)
        self.page.get_by_role("tab", name="Train", exact=True).wait_for()
        self.page.wait_for_function("localStorage.getItem('nca-garden-visitor')")

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()

    def number(self, selector: str, value: float) -> None:
        box = self.page.locator(f"{selector} input[type=number]")
        box.wait_for()
        self.page.evaluate(TWO_FRAMES)
        box.fill(str(value))
        box.press("Tab")

    def tiny(self, iterations: int) -> None:
        """Settings with which an iteration takes milliseconds."""
        self.unfold()
        for fold, inside in (("Size, title", "#size"), ("Advanced settings", "#hidden")):
            if not self.page.locator(inside).is_visible():
                self.page.get_by_text(fold).click()
        for selector, value in (TINY | {"#iterations": iterations}).items():
            self.number(selector, value)
        self.page.locator("#hidden").locator("input, textarea").fill("16")

    def unfold(self) -> None:
        """Open the form, which is folded once there is a training."""
        if not self.page.locator("#start").is_visible():
            self.page.get_by_text("Train another").click()

    def wait(self, selector: str, pattern: str, seconds: float = 120) -> str:
        """The text of an element once it matches."""
        until = time.monotonic() + seconds
        while True:
            text = self.page.locator(selector).inner_text()
            if re.search(pattern, text):
                return text
            assert time.monotonic() < until, f"{selector} says {text!r}, not {pattern!r}"
            self.page.wait_for_timeout(100)

    def until(self, holds: Callable[[], object], seconds: float = 120) -> None:
        """Wait until something holds."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it did not happen"
            self.page.wait_for_timeout(150)

    def picture(self, selector: str) -> str:
        """The data of the first picture in an element."""
        return self.page.locator(f"{selector} img").first.get_attribute("src")

    # ------------------------------------------------------------------ the live player

    def player(self, expression: str) -> object:
        """Something of the player in the canvas, such as "step" or "pause()"; None before it is."""
        return self.page.evaluate(f"document.querySelector('.nca-player')?.ncaPlayer?.{expression}")

    def grows(self, steps: int = 1) -> str:
        """Wait until so many steps were made; the hash of config and weights that make them."""
        self.until(lambda: self.player("run.model") and self.player("step") >= steps)
        return str(self.player("run.model.version"))

    def grown(self, steps: int) -> None:
        """From a seed, so many steps and no further."""
        self.player("pause()")
        self.player("reset(7)")
        self.player(f"advance({steps})")

    def canvas(self) -> np.ndarray:
        """What the canvas shows, uint8 [H, W, 3]."""
        height, width, data = self.player("""ui.picture && (() => {
          const { picture } = document.querySelector('.nca-player').ncaPlayer.ui;
          const { width, height } = picture;
          const { data } = picture.getContext('2d').getImageData(0, 0, width, height);
          return [height, width, Array.from(data)];
        })()""")
        return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]

    def cell(self, x: float, y: float) -> tuple[float, float]:
        """Where on the screen the middle of a cell is."""
        canvas = self.page.locator("canvas.picture")
        canvas.scroll_into_view_if_needed()
        box, size = canvas.bounding_box(), self.player("run.width")
        side = box["width"] / size
        return box["x"] + (x + 0.5) * side, box["y"] + (y + 0.5) * side

    def answer(self, selector: str, accept: bool) -> None:
        """Press a button and answer what the browser asks then."""
        with self.page.expect_event("dialog") as asked:
            # The press returns only after the answer.
            self.page.once("dialog", lambda d: d.accept() if accept else d.dismiss())
            self.page.locator(selector).click()
        assert asked.value

    def iteration(self) -> int:
        """How far the training is that the page shows."""
        text = self.wait("#status", r"[\d,]+ of [\d,]+ iterations")
        return int(re.search(r"([\d,]+) of", text)[1].replace(",", ""))

    def barriers(self) -> list[str]:
        """What axe-core finds that keeps people out; nothing where npm has not installed it."""
        if not AXE.exists():
            return []
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        return self.page.evaluate(
            """async () => {
              // What still fades in has not its colours yet.
              const ends = (animation) => animation.effect.getComputedTiming().endTime < Infinity;
              await Promise.allSettled(
                document.getAnimations().filter(ends).map(({finished}) => finished));
              const only = {type: 'tag', values: ['wcag2a', 'wcag2aa']};
              const {violations} = await axe.run(document, {runOnly: only});
              return violations.filter(({impact}) => ['serious', 'critical'].includes(impact))
                .flatMap(({id, nodes}) => nodes.map((node) =>
                  `${id}: ${node.html.slice(0, 150)} ${node.any[0]?.message ?? ''}`));
            }"""
        )

    def fits(self) -> bool:
        """Nothing is wider than the window, also where it is cut off there."""
        return self.page.evaluate(FITS)

    def fits_everywhere(self, name: str) -> bool:
        """Nothing is wider than the window on any screen; as before afterwards.

        For screenshots also where it is dark, or light where it was dark.
        """
        before = self.page.viewport_size
        dark = self.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        schemes = ("light", "dark") if dark else ("dark", "light")
        if not SCREENSHOTS:
            schemes = schemes[1:]
        fits = []
        for width, height in SCREENS:
            self.page.set_viewport_size({"width": width, "height": height})
            for scheme in schemes:
                self.page.emulate_media(color_scheme=scheme)
                self.page.evaluate(TWO_FRAMES)
                self.snap(f"{name}-{width}-{scheme}")
            fits.append(self.fits())
        self.page.set_viewport_size(before)
        return all(fits)

    def snap(self, name: str) -> None:
        """Keep what the page looks like, if NCA_SCREENSHOTS names a folder."""
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.wait_for_timeout(800)
            self.page.screenshot(path=Path(SCREENSHOTS, f"{name}.png"), full_page=True)


@contextmanager
def visitors(server: Server, chromium: Browser) -> Iterator[Callable[..., Visit]]:
    """Makes visitors; each is a browser of its own."""
    contexts = []

    def come(
        width: int = 1280,
        height: int = 900,
        tab: str | None = "Train",
        query: str = "",
        **options: object,
    ) -> Visit:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        return Visit(context.new_page(), server.url, tab, query)

    yield come
    for context in contexts:
        context.close()
