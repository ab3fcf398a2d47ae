"""The served page in a browser: drop an image, look at its neighbors, filter, go back, mark, open the map."""

import base64
import csv
from io import BytesIO

import pytest
from PIL import Image

from coarsecon.data.prepared.store import open_dataset

CARRY = """([data, name, more]) => {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0)), carried = new DataTransfer();
  carried.items.add(new File([bytes, new Uint8Array(more ?? 0)], name, { type: "image/png" }));
  const options = { dataTransfer: carried, clipboardData: carried, bubbles: true, cancelable: true };
  for (const event of [%s]) document.body.dispatchEvent(event);
}"""
DROP = CARRY % 'new DragEvent("dragover", options), new DragEvent("drop", options)'
PASTE = CARRY % 'new ClipboardEvent("paste", options)'


@pytest.fixture
def served(serve, tiny_run):
    return serve(tiny_run)


@pytest.fixture
def picture(tiny_data) -> bytes:
    """An image that the searched split does not hold."""
    stream = BytesIO()
    Image.fromarray(open_dataset(tiny_data).split("test").image(3)).save(stream, "PNG")
    return stream.getvalue()


def carry(page, how: str, picture: bytes, name: str = "<b>=odd</b>.png") -> None:
    """Drop or paste an image, and wait for its neighbors."""
    page.evaluate(how, [base64.b64encode(picture).decode(), name])
    page.get_by_text("The 12 nearest").wait_for()


def names(page) -> list[str]:
    return page.locator(".neighbors .name").evaluate_all("all => all.map((one) => one.title)")


def test_an_image_is_dropped_filtered_and_its_wrong_neighbor_marked(open_page, served, picture, tiny_data):
    train = open_dataset(tiny_data)
    with open_page(served.url) as page:
        page.get_by_text("Or start with one of these").wait_for()
        assert page.locator(".neighbors li").count() == 12
        carry(page, DROP, picture)
        asked = page.locator(".asked figure")
        assert asked.locator(".name").inner_text() == "<b>=odd</b>.png"
        images = page.locator(".neighbors img, .asked img")
        images.last.wait_for()
        images.evaluate_all("images => Promise.all(images.map((image) => image.decode()))")
        assert images.count() == 13
        cosines = [float(text) for text in page.locator(".neighbors .score").all_inner_texts()]
        assert cosines == sorted(cosines, reverse=True)

        pear = train.info.levels["coarse"][1]
        page.get_by_label("Search in").select_option("coarse/1")
        page.get_by_text(f"images of {pear}").wait_for()
        inside = page.locator(".neighbors li")
        assert inside.count() == 12, "as many as without the filter"
        assert set(page.locator(".neighbors .coarse").all_inner_texts()) == {pear}

        switch = inside.nth(2).get_by_role("button", name="Wrong:")
        assert switch.get_attribute("aria-pressed") == "false"
        switch.click()
        page.get_by_text("1 mark (CSV)").wait_for()
        assert switch.get_attribute("aria-pressed") == "true"
        marked = names(page)[2]
        with served.marks.open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert (row["query"], row["name"], row["coarse"]) == ("<b>=odd</b>.png", marked, pear)
        with page.expect_download() as download:
            page.get_by_text("1 mark (CSV)").click()
        assert download.value.path().read_bytes() == served.marks.read_bytes()

        page.reload()
        page.get_by_text(f"images of {pear}").wait_for()
        assert names(page)[2] == marked, "the address keeps query and class"
        assert switch.get_attribute("aria-pressed") == "true"
        switch.focus()
        page.keyboard.press("Enter")
        page.locator(".table").wait_for(state="hidden")
        assert len(served.marks.read_text().splitlines()) == 1


def test_a_neighbor_is_searched_by_and_the_way_leads_back(open_page, served, picture):
    with open_page(served.url) as page:
        carry(page, PASTE, picture, "pasted.png")
        first = names(page)
        page.locator(".neighbors .search-by").nth(1).focus()
        page.keyboard.press("Enter")
        page.locator(".asked .name", has_text=first[1]).wait_for()
        assert first[1] not in names(page)
        assert page.locator(".asked .fine").inner_text()
        page.go_back()
        page.locator(".asked .name", has_text="pasted.png").wait_for()
        assert names(page) == first
        page.go_back()
        page.get_by_text("Or start with one of these").wait_for()
        assert page.locator(".asked figure").is_hidden()


def test_a_file_is_chosen_by_key_and_a_large_one_is_refused_before_it_is_sent(open_page, served, picture):
    with open_page(served.url) as page:
        chooser = page.locator("input[type=file]")
        chooser.focus()
        assert chooser.evaluate("one => one === document.activeElement")
        page.evaluate(DROP, [base64.b64encode(picture).decode(), "big.png", 21 * 2**20])
        assert "big.png exceeds 20 MiB" in page.get_by_role("alert").inner_text()
        chooser.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": picture})
        page.get_by_text("The 12 nearest").wait_for()
        assert page.get_by_role("alert").count() == 0


def test_the_map_opens_and_can_be_used_shut_in_as_it_is(open_page, served, coarsecon):
    assert coarsecon("tsne", served.run, "--method", "pca", "--limit", 20, "--device", "cpu").code == 0
    with open_page(served.url) as page:
        with page.expect_popup() as popup:
            page.get_by_role("link", name="Map").click()
        opened = popup.value
        opened.get_by_text("Pick all in view").click()
        opened.get_by_text("20 images picked").wait_for()
        with opened.expect_download() as download:
            opened.get_by_text("Save as CSV").click()
        assert len(download.value.path().read_text().splitlines()) == 21
        assert opened.evaluate("fetch(location.origin).then(() => 'read', () => 'refused')") == "refused"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_needs_no_scrolling_sideways(open_page, served, picture, scheme):
    with open_page(served.url, color_scheme=scheme) as page:
        page.set_viewport_size({"width": 420, "height": 800})
        carry(page, DROP, picture, "a-name-of-many-words-without-a-space" * 4)
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
