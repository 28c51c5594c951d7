"""The configurations' layout is the one that `alloy fmt` gives; with Docker, `make verify-configs` has Alloy itself say so."""

import pytest
from alloy_configs.layout import formatted
from alloy_files import CONFIGS, text

# each as Alloy v1.18's own printer writes it (its `walkStmts`, `walkObjectExpr`, `walkCallExpr` and `writeCommentPrefix`)
LAID_OUT = {
    "neighbours' signs stand below each other, with a block, a comment or an empty line between them no more": (
        """
        a.b "c" {
            one = 1
            fourteen = 14
            // two (1 and 14) are too few :{
            x = [2]

            yes = true
            inner { }
            z = "x = 1"
            zzz = 2
        }
        """,
        """\
        a.b "c" {
        >one      = 1
        >fourteen = 14
        >// two (1 and 14) are too few :{
        >x = [2]

        >yes = true

        >inner { }
        >z   = "x = 1"
        >zzz = 2
        }
        """,
    ),
    "an empty line stands before each block but the first, and before one with a comment only where it stood": (
        """


        first {
            a = 1
            b {
                c = 2


            }
            // of d
            d { }

            // of e
            e {

                f { }
                g { }
            }
        }
        second { }
        """,
        """\
        first {
        >a = 1

        >b {
        >>c = 2
        >}
        >// of d
        >d { }

        >// of e
        >e {
        >>f { }

        >>g { }
        >}
        }

        second { }
        """,
    ),
    "what takes several lines is one step in, however many brackets a line opens, and its sign the last of its run": (
        """
        a {
        it = 1
        names = [coalesce(
        "(",
        "a" + b("]"),
        )]
        next = {
        "quoted" = 1,
        short = {
        in = 2,
        },
        last_one = 3,
        f = 4,
        }
        rows = [
        {"a" = 1, "b" = 2},
        {"aaa" = 1},
        ]
        }
        """,
        """\
        a {
        >it    = 1
        >names = [coalesce(
        >>"(",
        >>"a" + b("]"),
        >)]
        >next = {
        >>"quoted" = 1,
        >>short    = {
        >>>in = 2,
        >>},
        >>last_one = 3,
        >>f        = 4,
        >}
        >rows = [
        >>{"a" = 1, "b" = 2},
        >>{"aaa" = 1},
        >]
        }
        """,
    ),
}


def lines(indented: str) -> str:
    return "".join(f"{line.strip().replace('>', chr(9))}\n" for line in indented.splitlines()).rstrip("\n") + "\n"


@pytest.mark.parametrize("name", LAID_OUT)
def test_a_layout_is_alloys_own(name: str) -> None:
    written, laid_out = LAID_OUT[name]
    assert formatted(written) == lines(laid_out)
    assert formatted(lines(laid_out)) == lines(laid_out)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_is_laid_out_and_stays_so(name: str) -> None:
    assert formatted(text(name)) == text(name)
    assert not any(line.startswith(" ") or line.endswith((" ", "\t")) for line in text(name).splitlines())
