"""Step 4: rescue what students wrote into cells that are not theirs."""

from score.cells import read_marker
from score.course.collect.repair.python_source import added, bindings, same
from score.course.collect.repair.state import Piece, State

_Added = list[tuple[set[str], str]]  # names that are bound, and the text that binds them


def rescue_from_locked(state: State) -> None:
    """Move what was added to locked cells into answers, or into cells of the student's own."""
    release, changed = state.release, []
    locked = [key for key in release.cells if key not in release.answers]
    locked_names = {name for key in locked for name, _ in bindings(release.body[key])}
    pieces = [piece for piece in state.pieces if piece not in state.extras]
    for piece in pieces:
        key = piece.key
        if key is None or key in release.answers or same(piece.body, release.body[key]):
            continue
        marker = read_marker(release.cells[key].source)
        practice = marker is not None and marker.kind == "practice"
        if not practice:  # those are there to be changed
            changed.append(key)
        found = added(piece.body, release.body[key], calls=practice)
        found = [(names, text) for names, text in found if not names & locked_names]
        own = _move_to_answers(piece, found, state)
        if own:
            _move_to_own_cell(piece, key, own, state)
    state.report(
        "Locked cells were changed and are the release's again", list(dict.fromkeys(changed))
    )


def _move_to_answers(piece: Piece, found: _Added, state: State) -> str:
    """Move what defines an answer that is still open into it; return the rest of the text."""
    targets = {key: state.release.wanted_names(key) for key in state.release.answers}
    all_names = set().union(*targets.values())
    defined = set().union(*(names for names, _ in found))
    for key, names in targets.items():
        best = state.chosen.get(key)
        if names and names <= defined and not state.answered(key, best):
            others = all_names - names
            lines = _joined(found, without=others).split("\n")
            if not best:
                best = state.chosen[key] = Piece(piece.number, "code", "", lines, key)
                state.pieces.insert(state.pieces.index(piece), best)
            best.lines = lines
            found = [(names, text) for names, text in found if names & others]
            state.report(
                "An answer stood in the locked cell after it, or another one, and was moved to"
                " its own",
                [key],
            )
    return _joined(found, without=all_names)


def _joined(found: _Added, without: set[str]) -> str:
    return "\n".join(text for names, text in found if not names & without)


def _move_to_own_cell(piece: Piece, key: str, text: str, state: State) -> None:
    extra = Piece(piece.number, "code", "", text.split("\n"))
    # Before a test, which needs it; behind other cells, which may define what it needs.
    behind = not state.release.cells[key].metadata.nbgrader.grade
    state.pieces.insert(state.pieces.index(piece) + behind, extra)
    state.extras.add(extra)
    state.report("What was added to a locked cell stands in one of its own", [key])
