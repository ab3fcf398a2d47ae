"""The review page in a browser: name, merge, split, move, exclude and undo, by mouse and by keyboard; two tabs."""

import json

import pytest

from coarsecon.review.journal import read_journal


@pytest.fixture
def served(review, tiny_run):
    return review(tiny_run)


def last(served) -> dict:
    return json.loads(served.journal.read_text().splitlines()[-1])


def news(page, text: str) -> None:
    page.get_by_role("status").filter(has_text=text).wait_for()


def shown(page) -> str:
    page.locator(".cluster").wait_for()
    return page.locator("#title").inner_text()


def test_a_cluster_is_named_by_keyboard_and_the_name_is_undone(open_page, served):
    with open_page(served.url) as page:
        first = shown(page)
        page.keyboard.press("n")
        assert page.get_by_label("Name of this sub-class").evaluate("one => one === document.activeElement")
        page.keyboard.type("<b>Gala</b> u")
        page.keyboard.press("Enter")
        news(page, "Named it <b>Gala</b> u.")
        page.wait_for_function("title => document.querySelector('#title').textContent !== title", arg=first)
        assert page.get_by_label("Name of this sub-class").evaluate("one => one === document.activeElement")
        assert page.get_by_text("1 of 8 clusters").is_visible()
        assert page.locator(".queue button.named").inner_text().startswith("<b>Gala</b> u")
        assert (last(served)["op"], last(served)["name"]) == ("name", "<b>Gala</b> u")

        page.locator("#title").focus()
        page.keyboard.press("u")
        news(page, "Undid naming <b>Gala</b> u.")
        assert page.get_by_text("0 of 8 clusters").is_visible()
        page.keyboard.press("Shift+U")
        news(page, "Repeated naming")
        assert [each.op for each in read_journal(served.journal).history] == ["name", "undo", "redo"]


def test_a_cluster_is_split_merged_and_rejected(open_page, served):
    with open_page(served.url) as page:
        title = shown(page)
        page.locator(".splitting input").fill("3")
        page.get_by_role("button", name="Split").click()
        news(page, f"Split {title} into 3 clusters.")
        page.get_by_text("0 of 10 clusters").wait_for()
        page.get_by_role("button", name="Merge ").first.click()
        news(page, "Merged")
        page.get_by_text("0 of 9 clusters").wait_for()
        assert shown(page) == title
        page.keyboard.press("r")
        news(page, f"Rejected {title}.")
        page.get_by_text("1 of 9 clusters").wait_for()
        page.locator(".queue button.rejected").click()
        page.get_by_role("button", name="Reopen").click()
        news(page, "Reopened")
        assert [each.op for each in read_journal(served.journal).history] == ["split", "merge", "reject", "reopen"]


def test_images_are_selected_by_keyboard_moved_and_moved_back_by_undo(open_page, served):
    with open_page(served.url) as page:
        shown(page)
        grid = page.locator(".grid")
        count = grid.locator("[role=option]").count()
        page.keyboard.press("g")
        for key in ("Space", "ArrowRight", "ArrowRight", "Space", "Shift+ArrowRight"):
            page.keyboard.press(key)
        assert [grid.locator("[role=option]").nth(i).get_attribute("aria-selected") for i in range(5)] == [
            "true", "false", "true", "true", "false"
        ]  # fmt: skip
        assert page.get_by_text("3 selected").is_visible()
        page.keyboard.press("m")
        assert page.get_by_label("Move to").evaluate("one => one === document.activeElement")
        page.keyboard.press("Enter")
        page.locator(".selection").get_by_role("button", name="Move").click()
        news(page, "Moved 3 images to")
        assert grid.locator("[role=option]").count() == count - 3
        moved = last(served)
        assert (moved["op"], len(moved["images"])) == ("move", 3)
        page.locator("#title").focus()
        page.keyboard.press("u")
        news(page, "Undid moving 3 images.")
        assert grid.locator("[role=option]").count() == count
        page.keyboard.press("g")
        page.keyboard.press("Control+a")
        assert page.get_by_text(f"{count} selected").is_visible()
        page.keyboard.press("Escape")
        assert page.locator(".selection").is_hidden()


def test_images_are_selected_by_click_shift_click_and_rectangle_and_excluded(open_page, served):
    with open_page(served.url) as page:
        page.set_viewport_size({"width": 1280, "height": 1400})
        shown(page)
        option = page.locator(".grid [role=option]")
        option.nth(1).click()
        option.nth(3).click(modifiers=["Shift"])
        assert page.get_by_text("3 selected").is_visible()
        option.nth(2).click()
        assert page.get_by_text("2 selected").is_visible()
        start, end = option.nth(0).bounding_box(), option.nth(2).bounding_box()
        page.mouse.move(start["x"] + 1, start["y"] - 6)
        page.mouse.down()
        page.mouse.move(end["x"] + 40, end["y"] + 60, steps=4)
        assert page.locator(".lasso").is_visible()
        page.mouse.up()
        assert page.locator(".lasso").count() == 0
        assert page.get_by_text("3 selected").is_visible()
        page.keyboard.press("x")
        news(page, "Excluded 3 images.")
        assert page.locator(".excluded li").count() == 3
        page.get_by_role("button", name="Restore ").first.click()
        news(page, "Restored an image.")
        assert page.locator(".excluded li").count() == 2
        option.nth(0).click()
        page.get_by_role("button", name="New cluster").click()
        news(page, "Moved 1 image to a new cluster.")
        assert len([each for each in read_journal(served.journal).clusters if "new" in each.proposed]) == 1


def test_an_outdated_tab_is_refused_and_shows_the_current_state(chromium, served):
    context = chromium.new_context()  # not watched: Chromium logs the status 409 as an error
    page, other = context.new_page(), context.new_page()
    for each in (page, other):
        each.set_default_timeout(10_000)
        each.goto(served.url)
    first = shown(page)
    shown(other)
    other.get_by_label("Name of this sub-class").fill("other")
    other.keyboard.press("Enter")
    news(other, "Named it other.")
    page.get_by_label("Name of this sub-class").fill("mine")
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text="changed elsewhere").wait_for()
    page.get_by_text("1 of 8 clusters").wait_for()
    assert page.locator(".queue button.named").inner_text().startswith("other")
    assert [each.name for each in read_journal(served.journal).clusters if each.name] == ["other"]
    page.locator(".queue button.named").click()
    page.get_by_role("heading", name="other", exact=True).wait_for()
    page.get_by_label("Name of this sub-class").fill("mine")
    page.keyboard.press("Enter")
    news(page, "Named it mine.")
    assert first
    context.close()


def test_single_images_are_labeled_in_the_next_tab(open_page, served):
    with open_page(served.url) as page:
        shown(page)
        page.get_by_role("tab", name="Next to label").click()
        questions = page.locator(".questions li")
        questions.first.wait_for()
        assert questions.count() == 20
        assert page.get_by_role("tab", name="Next to label").get_attribute("aria-selected") == "true"
        questions.first.locator("button").first.focus()
        page.keyboard.press("2")
        page.locator(".questions .settled").wait_for()
        assert (last(served)["op"], len(last(served)["images"])) == ("move", 1)
        assert questions.nth(1).locator("button").first.evaluate("one => one === document.activeElement")
        page.keyboard.press("1")
        page.locator(".questions .settled").nth(1).wait_for()
        page.go_back()
        page.locator(".cluster").wait_for()


def test_similar_images_and_shortcuts_open_in_dialogs(open_page, served):
    with open_page(served.url) as page:
        shown(page)
        page.keyboard.press("g")
        page.keyboard.press("i")
        dialog = page.get_by_role("dialog", name="Similar images")
        dialog.wait_for()
        assert dialog.locator("li").count() == 24
        page.keyboard.press("u")
        assert read_journal(served.journal).version == 0, "keys belong to the dialog while it is open"
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        page.get_by_role("dialog", name="Shortcuts").wait_for()
        page.get_by_label("Use single-key shortcuts").uncheck()
        page.get_by_role("button", name="Close").click()
        page.locator("#title").focus()
        page.keyboard.press("r")
        page.wait_for_timeout(200)
        assert read_journal(served.journal).version == 0
        page.reload()
        shown(page)
        page.keyboard.press("r")
        page.wait_for_timeout(200)
        assert read_journal(served.journal).version == 0, "the choice is kept"


def test_the_address_keeps_the_cluster_and_the_way_leads_back(open_page, served):
    with open_page(served.url) as page:
        first = shown(page)
        page.keyboard.press("j")
        page.wait_for_function("title => document.querySelector('#title').textContent !== title", arg=first)
        second = shown(page)
        page.reload()
        page.get_by_role("heading", name=second, exact=True).wait_for()
        page.go_back()
        page.get_by_role("heading", name=first, exact=True).wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_needs_no_scrolling_sideways(open_page, served, scheme):
    number = served.ask("GET", "/overview", headers={}).json["queue"][0]["cluster"]
    change = {"op": "name", "version": 0, "cluster": number, "name": "a-name-without-a-space-" * 4}
    assert served.ask("POST", "/changes", json.dumps(change).encode()).status == 200
    with open_page(served.url, color_scheme=scheme) as page:
        page.set_viewport_size({"width": 420, "height": 800})
        shown(page)
        page.locator(".queue button.named").evaluate("one => one.click()")
        page.get_by_role("heading", name="a-name-without").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        page.get_by_role("tab", name="Next to label").click()
        page.locator(".questions li").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
