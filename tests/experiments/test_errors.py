import errno

import pytest

from experiments.harness.running.errors import UserError, first_line, run_main


def test_a_replaced_run_goes_on_without_force(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["cvae.py", "--force"])
    with pytest.raises(SystemExit):
        run_main(fail(KeyboardInterrupt()), resumes=True)
    assert capsys.readouterr().err == "interrupted: the same command without --force goes on where it stopped\n"


def fail(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    "error, status, line",
    [
        (UserError("no such model\n  'unte'"), 2, "error: no such model 'unte'\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a/weights.h5"),
            2,
            "error: disk is full while writing runs/a/weights.h5; free some space, then run the same command again\n",
        ),
    ],
)
def test_mendable_failures_are_one_line_and_a_status(capsys, error, status, line):
    with pytest.raises(SystemExit) as exit_:
        run_main(fail(error))
    assert exit_.value.code == status
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("error", [ValueError("x"), FileNotFoundError(errno.ENOENT, "x"), OSError("x"), SystemExit(3)])
def test_other_exceptions_go_on_unchanged(capsys, error):
    with pytest.raises(type(error)) as raised:
        run_main(fail(error))
    assert raised.value is error
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "message, line",
    [
        ("{{node add}} Out of memory [Op:AddV2]\nmore", "Out of memory"),
        ('in user code:\n\n    File "a.py", line 3\n\n    TypeError: no image\n', "TypeError: no image"),
        ("", "ValueError"),
        (300 * "x", 200 * "x"),
    ],
)
def test_one_line_says_what_is_wrong(message, line):
    assert first_line(ValueError(message)) == line
