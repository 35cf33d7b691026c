"""What goes into a run (queries, masks, keypoints from files) and what comes out of it (the results folder)."""

from fgvc_deploy.results.mask_writer import MaskWriter
from fgvc_deploy.results.run_json import RunReport, UsageMeter, run_report
from fgvc_deploy.results.tracks_writer import TracksWriter
from fgvc_deploy.results.writer import ResultsFolder
from fgvc_deploy.stages import StageSummary, StageTimer

__all__ = [
    "MaskWriter",
    "ResultsFolder",
    "RunReport",
    "StageSummary",
    "StageTimer",
    "TracksWriter",
    "UsageMeter",
    "run_report",
]
