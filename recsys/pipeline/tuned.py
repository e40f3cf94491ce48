"""Which model settings a training uses: what is written wins over what was tuned, which wins over the defaults."""

from recsys.config import Config


def with_tuned(config: Config) -> tuple[Config, dict[str, str]]:
    """Return the configuration the next training uses, and the origin of every model setting that is no default.

    A setting written in the TOML file or in a run's `overrides` is `configured`; one adopted in the registry is
    `tuned by <study>, trial <number>`. Without `tuning.use_tuned` the registry is not asked.
    """
    written = config.model.model_fields_set
    origins = dict.fromkeys(sorted(written), "configured")
    if not config.tuning.use_tuned:
        return config, origins
    from recsys.registry.tuned import tuned_settings

    tuned = tuned_settings(config)
    if tuned is None:
        return config, origins
    taken = {name: value for name, value in tuned.settings.items() if name not in written}
    origins |= dict.fromkeys(taken, f"tuned by {tuned.study}, trial {tuned.trial}")
    model = type(config.model).model_validate({**config.model.model_dump(exclude_unset=True), **taken})
    return config.model_copy(update={"model": model}), origins
