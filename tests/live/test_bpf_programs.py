"""The loaded programs that fentry:bpf could attach to."""

from kernel_programs import image, program, recording

from kloupe.engine.kernel import KernelEngine
from kloupe.host import bpf
from kloupe.image import AttachSpec
from kloupe.kernel.bpf_programs import loaded_functions


def test_a_program_of_ours_is_listed_while_it_is_loaded() -> None:
    before = set(bpf.program_ids())
    code, relocations = recording(1, cookie=False, pid=0)
    spec = program(
        "listed_by_name", "perf_event", code, (AttachSpec("interval", "i", {"period_ns": 10**9}),), relocations
    )
    with KernelEngine() as engine:
        engine.load(image(spec))
        ours = set(bpf.program_ids()) - before
        found = [f for f in loaded_functions() if f.program in ours and f.name == "listed_by_name"]
        assert len(found) == 1 and found[0].type_id > 0
    assert not [f for f in loaded_functions() if f.program == found[0].program]
