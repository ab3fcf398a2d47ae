"""Progress in plain lines: count, rate and time left; tables on narrow terminals; what to type next."""

import time

import pytest

from coarsecon import recipes
from coarsecon.cli import console
from coarsecon.cli.progress import ConsoleReporter, PlainProgress


def test_plain_lines_tell_count_rate_and_time_left(monkeypatch, capsys):
    clock = iter([0.0, 0.0, 0.0, 10.0, 10.0, 20.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = PlainProgress("training", 1100, "images")
    progress.advance(100)
    progress.advance(500, "epoch 1")
    assert capsys.readouterr().err == "training: 600/1,100 images, 50 images/s, 0:10 left, epoch 1\n"


def test_the_last_line_is_told_once(monkeypatch, capsys):
    clock = iter([0.0, 0.0, 10.0, 10.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = PlainProgress("training", 4, "steps")
    progress.advance(4, "loss 0.3")
    progress.report()
    assert capsys.readouterr().err == "training: 4/4 steps, loss 0.3\n"


def test_a_single_piece_has_no_rate(capsys):
    progress = PlainProgress("writing", 10, "images")
    progress.advance(10)
    progress.report()
    assert capsys.readouterr().err == "writing: 10/10 images\n"


def test_the_time_left_forgets_how_fast_an_earlier_run_was_taken_up(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = PlainProgress("writing", 200_000, "images")
    for seconds, images in ((0, 128), (8, 80_000), *(6 * [(10, 1_000)])):
        now[0] += seconds
        progress.advance(images)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "writing: 86,128/200,000 images, 100 images/s, 18:59 left"


def test_a_slow_rate_is_not_none(monkeypatch, capsys):
    clock = iter([0.0, 0.0, 0.0, 10.0, 10.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = PlainProgress("clusters", 12, "classes")
    progress.advance()
    progress.advance()
    assert capsys.readouterr().err == "clusters: 2/12 classes, 0.1 classes/s, 1:40 left\n"


def test_a_long_time_left_is_told_in_hours(monkeypatch, capsys):
    clock = iter([0.0, 0.0, 0.0, 10.0, 10.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = PlainProgress("training", 190_000, "images")
    progress.advance(10)
    progress.advance(40)
    assert capsys.readouterr().err == "training: 50/190,000 images, 4 images/s, 13:11:28 left\n"


def test_the_next_command_can_be_pasted(capsys, tmp_path):
    console.closing([tmp_path], ["coarsecon", "retrieve", "my runs/first"])
    assert "next: coarsecon retrieve 'my runs/first'" in capsys.readouterr().err


def test_long_names_give_way_to_the_column_that_is_to_stay_whole(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    name = "/home/somebody/pictures/" + 30 * "of-holidays/" + "1.jpg"
    console.table("Nearest", ["image", "cosine", "fine"], [(name, "0.987", "a tall tree")], numbers=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    cells = [line.split("│")[1:-1] for line in lines if line.startswith("│")]
    assert [cell.strip() for cell in cells[0][1:]] == ["0.987", "a tall tree"]
    assert "".join(cell[0].strip() for cell in cells) == name, "folded, not cut"


def test_headings_over_numbers_break_at_blanks_before_a_word_is_cut(monkeypatch, capsys):
    columns = ["coarse", "images", "clusters", *(f"fine {name}" for name in ("classes", "NMI", "ARI", "accuracy"))]
    for width in (100, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        console.table("Clusters", columns, [["upright stripes", "1,000", "2", "4", "22.02", "19.88", "45.60"]])
        lines = capsys.readouterr().out.splitlines()
        assert "…" not in "".join(lines)
        assert max(map(len, lines)) <= width
        assert len(lines) == (7 if width == 80 else 6)


def test_prose_is_as_wide_as_the_terminal_and_keeps_paragraphs_lists_and_sentences_on_their_lines(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    text = "One sentence that does not\nfit.\nAnother.\n\n- an item that goes on, and\n  on\n- last"
    assert console.wrapped(text, "# ") == (
        "# One sentence that does not\n# fit.\n# Another.\n#\n# - an item that goes on, and\n#   on\n# - last"
    )


@pytest.mark.parametrize("words", [("methods", "maskcon"), ("datasets", "living17")])
def test_what_is_told_of_one_thing_is_no_wider_than_the_terminal(coarsecon, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    done = coarsecon(*words)
    assert done.code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= 80


def test_the_comments_of_a_recipe_are_wrapped_and_its_settings_stay(coarsecon, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = coarsecon("recipes", "show", "maskcon-toy").out.splitlines()
    assert max(len(line) for line in shown if line.startswith("#")) <= 80
    text = recipes.text("maskcon-toy").splitlines()
    settings = [line for line in text if not line.startswith("#")]
    assert [line for line in shown if not line.startswith("#")][: len(settings)] == settings


def test_text_from_files_cannot_control_the_terminal(capsys):
    hostile = "name\x1b[2J\x1b]0;title\x07\u202e.jpg"
    ConsoleReporter().info(f"skipped {hostile}")
    console.table("counts", ["name", "images"], [[hostile, 1]])
    shown = "".join(capsys.readouterr())
    assert not set(shown) & {"\x1b", "\x07", "\u202e"}
    assert shown.count("[2J") == 2


def test_very_long_words_are_shortened_in_the_middle():
    assert console.printable(f"no column {'a' * 5000}{'b' * 5000} here") == f"no column {'a' * 200}...{'b' * 200} here"
    assert console.printable("two\nlines of café") == "two\nlines of café"


def test_long_errors_keep_their_beginning_and_their_remedy():
    message = console.shortened(f"labels.pkl: not labels ({'switch, electric ' * 200}); fetch the file again")
    assert len(message) < 1000
    assert message.startswith("labels.pkl: not labels")
    assert message.endswith("fetch the file again")


def test_errors_with_megabytes_of_a_file_are_short(coarsecon, tmp_path):
    (tmp_path / "table.csv").write_text(f"path,{'x' * 1_000_000}\na.jpg,b\n")
    done = coarsecon("prepare", "folder", "--table", tmp_path / "table.csv", "--out", tmp_path / "out")
    assert done.code == 2
    assert len(done.err) < 2000
