"""CoOp with class-specific contexts (Zhou et al. 2022)."""

from typing import Any, Literal

from adapt.methods.coop import Coop
from adapt.task import FewShotTask


class CoopCsc(Coop):
    """CoOp with a separate learned context for every class; settings as for `coop`."""

    def __init__(self, task: FewShotTask, *, csc: Literal[True], **coop: Any):
        super().__init__(task, csc=csc, **coop)
