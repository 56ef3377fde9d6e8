# The only list of the public names. __init__.py reads from it where each is defined.
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
