"""The film of a training's snapshots: which one is shown while more are made."""

from nca.ui.components import script
from nca.ui.train.snapshots import _TEMPLATE

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="


def test_the_scrubber_stands_at_what_is_shown_and_newer_ones_lie_to_its_right(chromium):
    page = chromium.new_page()
    page.set_content(f"<main>{_TEMPLATE}</main>")
    page.evaluate(
        """([code, pixel]) => {
          const props = { count: 0, frames: [] }, watched = {}, asked = [];
          window.asked = asked;
          new Function("element", "props", "trigger", "watch", code)(
            document.querySelector("main"), props,
            (name) => asked.push(name), (name, then) => { watched[name] = then; });
          window.set = (name, value) => { props[name] = value; watched[name](); };
          window.arrive = (n) => set("frames", Array.from({ length: n }, (_, i) =>
            ({ iteration: i, words: `After ${i} iterations`, src: pixel })));
        }""",
        [script("train/film.js"), PIXEL],
    )
    scrubber, words = page.locator("input"), page.locator("output")

    def at() -> list[int]:
        return scrubber.evaluate("(range) => [Number(range.value), Number(range.max)]")

    def asks() -> int:
        return page.evaluate("() => asked.filter((name) => name === 'submit').length")

    page.wait_for_function("() => document.querySelector('main').offsetHeight > 0")
    page.wait_for_timeout(100)  # for the observer
    page.evaluate("() => set('count', 2)")
    assert asks() == 1
    page.evaluate("() => arrive(2)")
    assert at() == [1, 1] and words.text_content() == "After 1 iterations"
    page.evaluate("() => set('count', 3)")
    assert at() == [1, 2] and words.text_content() == "After 1 iterations" and asks() == 1
    page.evaluate("() => set('count', 4)")
    assert asks() == 2
    page.evaluate("() => arrive(4)")
    assert at() == [3, 3] and words.text_content() == "After 3 iterations"
    # Moved to one that is not here yet: the old picture stays until it comes.
    page.evaluate("() => set('count', 6)")
    scrubber.press("End")
    assert at() == [5, 5] and asks() == 3 and page.locator("img").is_visible()
    page.evaluate("() => arrive(6)")
    assert at() == [5, 5] and words.text_content() == "After 5 iterations"
    # Moved by the visitor, it stays where it is.
    scrubber.press("Home")
    page.evaluate("() => set('count', 20)")
    assert at() == [0, 19] and words.text_content() == "After 0 iterations" and asks() == 3
    page.close()
