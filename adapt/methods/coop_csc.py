"""CoOp with class-specific contexts (Zhou et al. 2022): the words around each class name are learned for it alone."""

from typing import Any, Literal

from adapt.methods.coop import Coop
from adapt.task import FewShotTask


class CoopCsc(Coop):
    """CoOp's other variant: a context of its own for every class; its settings are those of `coop`."""

    def __init__(self, task: FewShotTask, *, csc: Literal[True], **coop: Any):
        super().__init__(task, csc=csc, **coop)
