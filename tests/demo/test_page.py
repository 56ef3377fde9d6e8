"""The page in a browser, as seen by a person who drops a picture on it."""

import contextlib
import zlib
from pathlib import Path
from struct import pack

import psutil
import pytest
import requests

from adapt.demo import html


def drop(page, path: Path) -> None:
    page.set_input_files("#picture input[type=file]", str(path))


def answer(page, panel: str = "tuned") -> str:
    return page.locator(f"#{panel} .answer").inner_text()


def message(page) -> str:
    found = page.locator("#message")
    found.wait_for(state="visible")
    return found.inner_text()


def big_png(path: Path, width: int, height: int) -> Path:
    """A black picture of any size, made without its pixels in memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj()
    rows = b"".join(packer.compress(bytes(1 + width)) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


@pytest.fixture
def page(open_page, served):
    return open_page(served.url)


def test_class_of_a_dropped_digit_is_read_off_the_page(page, digits):
    label, path = next(iter(digits.items()))
    drop(page, path)
    assert answer(page) == label


def test_five_classes_stand_as_bars_for_both(page, digits):
    drop(page, next(iter(digits.values())))
    answer(page)
    assert page.locator("#tuned .bar").count() == page.locator("#zero_shot .bar").count() == 5


def test_bar_is_the_probability_of_the_library(page, digits, model):
    label, path = next(iter(digits.items()))
    drop(page, path)
    answer(page)
    expected = float(model.predict_proba([path])[0, model.classes.index(label)])
    assert page.locator("#tuned .percent").first.inner_text() == f"{100 * expected:.1f} %"


def test_lengths_are_the_models(page, model):
    page.locator("#lengths td").first.wait_for()
    shown = [int(text) for text in page.locator("#lengths td").all_inner_texts()]
    assert shown == [length for row in model.lengths().values() for length in row]


def test_pocket_number_is_marked_as_one(page):
    page.locator("#heading h1").wait_for()
    assert html.POCKET_NOTE in page.locator("#heading").inner_text()


def test_browser_asks_nothing_of_other_hosts(open_page, served, digits):
    asked: list[str] = []
    page = open_page(served.url, lambda request: asked.append(request.url), policy=False)
    drop(page, next(iter(digits.values())))
    answer(page)
    page.wait_for_load_state("load")
    assert len(asked) > 10
    assert not [url for url in asked if not url.startswith((served.url, "data:", "blob:"))]


def test_browser_is_told_to_ask_nothing_of_other_hosts(browser, served):
    with contextlib.closing(browser.new_context()) as context:
        response = context.new_page().goto(served.url)
        policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy


def test_server_asks_nothing_of_other_hosts(page, served, digits):
    drop(page, next(iter(digits.values())))
    answer(page)
    with pytest.raises(BlockingIOError):  # nobody has called
        served.proxy.accept()


def test_address_in_place_of_a_picture_is_not_fetched(served):
    picture = {"path": "http://192.0.2.1/cat.png", "meta": {"_type": "gradio.FileData"}}
    asked = {"data": [picture], "fn_index": 0, "session_hash": "test"}
    requests.post(f"{served.url}/gradio_api/queue/join", json=asked, timeout=20).raise_for_status()
    events = requests.get(f"{served.url}/gradio_api/queue/data", params={"session_hash": "test"}, timeout=20).text
    assert "drop a file, not an address" in events


def test_huge_picture_is_refused_without_taking_memory(page, served, digits, tmp_path):
    label, path = next(iter(digits.items()))
    drop(page, path)
    answer(page)
    before = psutil.Process(served.process.pid).memory_info().rss
    drop(page, big_png(tmp_path / "huge.png", 20_000, 10_000))
    assert message(page) == "huge.png has more than 178 million pixels; make it smaller, then drop it again"
    assert psutil.Process(served.process.pid).memory_info().rss - before < 100e6
    drop(page, path)
    assert answer(page) == label


@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_file_that_is_no_picture_is_named(content, page, tmp_path):
    (tmp_path / "text.png").write_bytes(content)
    drop(page, tmp_path / "text.png")
    assert message(page).startswith("text.png is no picture that can be read; drop a JPEG")


def test_broken_picture_is_named(page, digits, tmp_path):
    whole = next(iter(digits.values())).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    drop(page, tmp_path / "half.png")
    assert message(page).startswith("image half.png cannot be read") and "drop another" in message(page)


def test_two_browsers_have_an_answer_each(open_page, served, digits):
    (first, one), (second, other) = list(digits.items())[:2]
    pages = open_page(served.url), open_page(served.url)
    drop(pages[0], one)
    drop(pages[1], other)
    assert [answer(page) for page in pages] == [first, second]


def test_picture_taken_away_takes_its_answer_along(page, digits):
    drop(page, next(iter(digits.values())))
    answer(page)
    page.locator("#picture button[aria-label='Clear'], #picture button[aria-label='Remove Image']").first.click()
    page.locator("#tuned .empty").wait_for()
