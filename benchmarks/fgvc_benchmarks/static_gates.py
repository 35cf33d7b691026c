"""The page of static figures: what the GPU kernels' machine code holds on each chip, and a roofline model.

`python -m fgvc_benchmarks.static_gates` writes docs/static-gates.md, `fgvc-deploy bench kernels --static` prints the
same.  Counts and arithmetic only: no GPU is used, and nothing here is a time that was measured.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from fgvc_benchmarks.roofline import CASES, Work, matching_work, propagation_work, shortest_ms
from fgvc_kernels.aot.baseline import Baseline, load_baseline
from fgvc_kernels.aot.chips import CHIPS, Chip
from fgvc_kernels.aot.figures import StaticFigures

PAGE = Path(__file__).resolve().parents[2] / "docs" / "static-gates.md"
MATCHING = "local_topk"

_HEAD = """\
# Static gates of the GPU kernels

Written by `python -m fgvc_benchmarks.static_gates` from the checked-in baseline; do not edit. **No GPU was used:
every figure is a count in the machine code, or arithmetic on such counts. None is a time that was measured.**

CI compiles the kernels again and fails on a spill, on a kernel that does not fit its chip, on fewer tensor-core
instructions, 128-bit reads, asynchronous copies or 128-bit stores than in this table, on more calls of outlined code,
on fewer resident blocks, and on hot loops that are more than 5 % longer. A change that is meant is written down by
`python -m fgvc_kernels.aot baseline`; `python -m fgvc_kernels.aot check` compares without writing.
"""

_TITLES = (
    "chip | registers | spills | shared | tensor | async 128 | reads 128 | stores 128 | calls | hot loop | blocks"
)
_COLUMNS = """\
- registers: per thread; * where ptxas was told a limit, because left alone it would have spilled.
- spills: bytes of stack per thread.
- shared: bytes of shared memory per block. Tensor memory (sm_100 to sm_110) is in columns of 512 per multiprocessor.
- tensor: tensor-core instructions (HMMA; HGMMA on sm_90 and UTCHMMA on sm_100 to sm_110 do the work of many HMMA).
- async 128 and reads 128: copies from global to shared memory, and reads of global memory, that move 128 bits per
  thread, of all such instructions. stores 128 likewise.
- calls: of outlined code.
- hot loop: instructions inside loops, in brackets those of the smallest loop that uses tensor cores; of a kernel
  without loops all that can run.
- blocks: resident on a multiprocessor, the share of its warps that they fill, and what allows no more.
"""

_MODEL = """\
**A model, not a measurement.** The shortest time a step could take if nothing but datasheet peaks limited it: the
larger of tensor operations / peak and least memory traffic / bandwidth. Real kernels take longer; by how much is not
known here. Useful operations are those that an exact answer needs (2 C for each allowed pair of pixels); computed
ones include what whole tiles, whole blocks of keys and padded channels add."""


_OPEN = """\
## What the table leaves open

- `propagate` reads 128 bits at a time where the number of channels is a multiple of four, and single values
  otherwise: both bodies are in the kernel, so its column counts both.
- `normalise` reads single values. Rows of the encoder's output are H*W long, so 128-bit reads need H*W to be a
  multiple of four, a second body for other sizes (8 KB of code and twice the shared memory per kernel), and save a
  quarter of the instructions of a kernel that waits for memory: a warp's 32 single values are already whole 128-byte
  lines. Tried on sm_86, 87, 90 and 120, not taken.
- `local_topk` takes more than 48 KB of shared memory for 256 channels. CUDA gives that to no kernel that has not
  asked for it (programming guide, note 3 of table 31: `cuFuncSetAttribute`), which our own run time does. As a
  TensorRT plugin the kernel is launched by TensorRT: its ahead-of-time interface passes on a number of bytes
  (`KernelLaunchParams.shared_mem`, `IKernelLaunchParams::setSharedMem`, TensorRT 11.3) and has no other field;
  neither the documentation nor an issue says whether TensorRT then asks the driver. So the plugin is compiled with
  one stage instead of two where that fits into 48 KB: 40960 bytes on sm_80 to sm_89, sm_120 and sm_121, 49152 on
  sm_90. On sm_100, sm_103 and sm_110 one stage takes 49160, and the plugin keeps its two: use the bundle's cubins
  there until somebody has run it. One stage does not overlap loads with tensor operations; what that costs was not
  measured, for there is no GPU.
"""


def main() -> int:
    """Write the page; returns the exit code."""
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
    return 0


def page() -> str:
    """The page of the checked-in baseline."""
    return render(load_baseline())


def render(baseline: Baseline) -> str:
    """The page as Markdown."""
    return "\n".join([_HEAD, *_tools(baseline), *_tables(baseline), _COLUMNS, *_sizes(baseline), *_model(baseline)])


def _tools(baseline: Baseline) -> Iterator[str]:
    yield "Compilers: " + ", ".join(f"{name} {version}" for name, version in baseline.versions.items()) + ".\n"


def _tables(baseline: Baseline) -> Iterator[str]:
    for name, rows in baseline.figures.items():
        kernel, _, encoder = name.partition(".")
        yield f"## {kernel}, {encoder}\n"
        yield (
            "Compiled in: " + ", ".join(f"{key} {value}" for key, value in baseline.constexprs[name].items()) + ".\n"
        )
        yield from _table(rows)
        yield ""


def _table(rows: dict[str, StaticFigures]) -> Iterator[str]:
    yield f"| {_TITLES} |"
    yield "|---|" + "---:|" * (_TITLES.count("|") - 1) + "---|"
    for chip, row in rows.items():
        cells = [
            f"{row.registers}{'*' if row.register_cap else ''}",
            str(row.frame_bytes),
            f"{row.shared_bytes}" + (f" + {row.tensor_columns} columns" if row.tensor_columns else ""),
            str(row.tensor),
            f"{row.async_copies_128} of {row.async_copies}",
            f"{row.loads_128} of {row.loads}",
            f"{row.stores_128} of {row.stores}",
            str(row.calls),
            f"{row.hot}" + (f" ({row.tensor_loop})" if row.tensor_loop else ""),
            f"{row.blocks}, {100 * row.occupancy:.0f} %, {row.limited_by}",
        ]
        yield f"| {chip} | " + " | ".join(cells) + " |"


def _sizes(baseline: Baseline) -> Iterator[str]:
    yield "## Size\n"
    encoders = dict.fromkeys(name.partition(".")[2] for name in baseline.figures)
    first = next(iter(encoders))
    rows = [rows for name, rows in baseline.figures.items() if name.partition(".")[2] == first]
    per_chip = {chip: sum(row[chip].cubin_bytes for row in rows) for chip in CHIPS}
    yield f"All kernels of {first}, {sum(per_chip.values()) / 1e6:.2f} MB for the ten chips together:"
    yield ", ".join(f"{chip} {size / 1e3:.0f} KB" for chip, size in per_chip.items()) + ".\n"


def _model(baseline: Baseline) -> Iterator[str]:
    yield "## Roofline model\n"
    yield _MODEL
    yield ""
    yield from _work_table(baseline)
    yield ""
    yield from _times_table(baseline)
    yield ""
    yield from _notes()


def _works(baseline: Baseline) -> Iterator[tuple[str, Work]]:
    for case in CASES:
        constants = baseline.constexprs[f"{MATCHING}.{case.encoder}"]
        yield f"{case.geometry.name}, matching", matching_work(case.geometry, constants)
        yield f"{case.geometry.name}, {case.channels} labels", propagation_work(case.geometry, case.channels)


def _work_table(baseline: Baseline) -> Iterator[str]:
    yield "| step, from 6 key frames | useful GFLOP | computed GFLOP | least DRAM traffic, MB | L2 to SM, MB |"
    yield "|---|" + "---:|" * 4
    for name, work in _works(baseline):
        computed = f"{work.computed_gflop:.2f}" if work.on_tensor_cores else "not on tensor cores"
        yield f"| {name} | {work.useful_gflop:.2f} | {computed} | {work.dram_mb:.1f} | {work.l2_mb:.0f} |"


def _times_table(baseline: Baseline) -> Iterator[str]:
    works = list(_works(baseline))
    yield "| chip | product | TFLOP/s | GB/s | " + " | ".join(f"{name}, model ms" for name, _ in works) + " |"
    yield "|---|---|" + "---:|" * (2 + len(works))
    for chip in CHIPS.values():
        product = chip.product
        bounds = " | ".join(_bound(work, chip) for _, work in works)
        yield f"| {chip.name} | {product.name} | {product.tflops:g} | {product.dram_gbs:g} | {bounds} |"


def _bound(work: Work, chip: Chip) -> str:
    bound = shortest_ms(work, chip.product)
    return f">= {bound.ms:.3g} ({bound.limit})"


def _notes() -> Iterable[str]:
    yield "Peaks are of dense fp16 with fp32 sums. Where they stand, and how those not published are derived:\n"
    for chip in CHIPS.values():
        yield f"- {chip.product.name}: {chip.product.source}."
    yield ""
    yield _OPEN


if __name__ == "__main__":
    sys.exit(main())
