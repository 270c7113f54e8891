"""The fold for researchers on the Train tab, in a real browser."""

import pytest


@pytest.mark.long
def test_a_training_as_command_python_csv_and_curve(share_visit, trained):
    page = share_visit()
    page.open(f"?key={trained['key']}")
    page.page.get_by_text("For researchers").click()
    command, python = (page.page.locator(f"#as-{kind} textarea") for kind in ("command", "python"))
    page.until(lambda: command.input_value().startswith("python -m nca train --emoji '🐞' "))
    assert "--size 8 --padding 4 --recipe quick --iterations 6 --out" in command.input_value()
    assert "trainer = Trainer(nca, train, target" in python.input_value()

    with page.page.expect_download() as waiting:
        page.page.locator("#download-metrics").click()
    assert waiting.value.suggested_filename.endswith("-metrics.csv")
    lines = waiting.value.path().read_text().splitlines()
    assert lines[0].startswith("iteration,loss,") and lines[1].startswith("1,0.")

    losses, box = (
        page.page.locator("#compared-losses polyline"),
        page.page.locator("#compared input"),
    )
    losses.wait_for()
    assert losses.count() == 1 and box.count() == 1
    box.uncheck()
    page.wait("#compared-losses", "are drawn here")
    box.check()
    losses.wait_for()
    assert page.fits_everywhere("researchers")

    other = share_visit()  # somebody else sees no fold
    assert not other.page.get_by_text("For researchers").is_visible()
