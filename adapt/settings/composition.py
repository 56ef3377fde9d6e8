"""Composition of the params from conf/, which is part of the wheel."""

from pathlib import Path

from adapt.errors import UserError
from adapt.runtime.packaged import find


def compose(overrides: list[str], folder: Path | None = None) -> str:
    """Return the text of params.yaml that `-S override …` would write from conf/.

    Hydra composes it. Hydra's global state is left unchanged, even inside another Hydra program.
    folder: another conf/ than this package's.
    Raises: UserError for an override that does not fit conf/.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    callers, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    try:
        with initialize_config_dir(str((folder or find("conf")).resolve()), version_base=None):
            config = hydra_compose("config", overrides=overrides)
    except HydraException as error:
        raise UserError(f"conf/: {' '.join(str(error).split())}") from None
    finally:
        GlobalHydra.instance().hydra = callers
    OmegaConf.resolve(config)
    return OmegaConf.to_yaml(config)
