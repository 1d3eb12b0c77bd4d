from alignlab.experiment.reference_page import SECTIONS, reference


def test_config_readme_is_what_the_schema_says(repository):
    """If this fails: python -m alignlab.experiment.reference_page > config/README.md"""
    assert (repository / "config" / "README.md").read_text(encoding="utf-8") == reference()


def test_every_key_is_described():
    for _, _, models in SECTIONS:
        for model in models:
            bare = {name for name, field in model.model_fields.items() if not field.description}
            assert not bare, model.__name__
