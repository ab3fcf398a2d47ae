"""The watch over pages in the browser misses nothing: else the other tests here could not fail."""

import pytest


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("<script>console.error('broken')</script>", "broken"),
        ("<script>nowhere()</script>", "nowhere is not defined"),
        ("<script>Promise.reject(new Error('forgotten'))</script>", "forgotten"),
        ("<img src='http://127.0.0.1:9/a.png'>", "request: http://127.0.0.1:9/a.png"),
        ("<img src='other.png'>", "other.png"),
        ("<style>p { background: url(https://localhost:9/b.png) }</style><p>text</p>", "b.png"),
    ],
)
def test_what_a_page_should_not_do_fails_its_test(open_page, tmp_path, body, says):
    (tmp_path / "page.html").write_text(f"<!doctype html><title>t</title>{body}")
    with pytest.raises(AssertionError, match=says), open_page(tmp_path / "page.html"):
        pass


def test_what_a_page_holds_itself_passes(open_page, tmp_path):
    pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    script = "URL.createObjectURL(new Blob(['x'])); document.title = 'ran'"
    (tmp_path / "page.html").write_text(f"<!doctype html><title>t</title><img src={pixel}><script>{script}</script>")
    with open_page(tmp_path / "page.html") as page:
        assert page.title() == "ran"
        page.evaluate("location.hash = 'here'")
