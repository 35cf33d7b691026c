"""One `fgvc-deploy run`: from options to a results folder.  Printing and parsing are the command line's business."""

from fgvc_deploy.job.options import Job
from fgvc_deploy.job.running import run_job

__all__ = ["Job", "run_job"]
