# The only list of the public names. __init__.py reads from it where each is defined.
from .api.clip import load_clip
from .api.dataset import list_datasets, load_dataset
from .api.fit import fit, list_methods, register_method, token_effects
from .api.model import Model, evaluate, load
from .api.teacher import TeacherFeatures, teacher_features
from .clip.backbone import Backbone
from .data.dataset import Dataset, FewShotDataset, Split
from .errors import UserError
from .methods._two_tower import TwoTower
from .task import FewShotTask
from .training.token_effects import TokenEffects

__all__ = [
    "Backbone",
    "Dataset",
    "FewShotDataset",
    "FewShotTask",
    "Model",
    "Split",
    "TeacherFeatures",
    "TokenEffects",
    "TwoTower",
    "UserError",
    "evaluate",
    "fit",
    "list_datasets",
    "list_methods",
    "load",
    "load_clip",
    "load_dataset",
    "register_method",
    "teacher_features",
    "token_effects",
]
__version__: str
