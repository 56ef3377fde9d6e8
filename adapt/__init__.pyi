# The public names: the one list of them, from which __init__.py takes where each is found.
from .api.clip import load_clip
from .api.dataset import list_datasets, load_dataset
from .api.fit import fit, list_methods
from .api.model import Model, evaluate, load
from .api.teacher import TeacherFeatures, teacher_features
from .clip.backbone import Backbone
from .data.dataset import Dataset, FewShotDataset, Split
from .errors import UserError

__all__ = [
    "Backbone",
    "Dataset",
    "FewShotDataset",
    "Model",
    "Split",
    "TeacherFeatures",
    "UserError",
    "evaluate",
    "fit",
    "list_datasets",
    "list_methods",
    "load",
    "load_clip",
    "load_dataset",
    "teacher_features",
]
__version__: str
