"""The lists in the forms of trainings: on a real server, from a catalog."""

from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate

from db.engine import catalog_session
from db.queries import ingest, prepare
from db.settings import Settings
from deployments.up.choices import renew_choices
from flows.train import train
from kits_core.recipe.recipe import Recipe

FACTS = {
    "image_path": "i", "image_sha256": "a", "label_path": None, "label_sha256": None, "source_image_sha256": "a",
    "source_segmentation_sha256": None, "geometry": {}, "kidney_kept": None, "tumor_kept": None, "cyst_kept": None,
    "kidney_ml": None, "tumor_ml": None, "seconds": 1.0, "peak_bytes": 1, "bytes": 1,
}  # fmt: skip


def test_a_deployment_of_someone_elses_flow_of_this_name_is_left_alone(client, home):
    flow_id = client.create_flow(train)
    schema = {"properties": {"speed": {"type": "integer"}}, "definitions": {}}
    made = client.create_deployment(flow_id=flow_id, name="others", parameter_openapi_schema=schema)
    before = client.read_deployment(made)
    renew_choices(Settings())
    assert client.read_deployment(made).updated == before.updated
    client.delete_deployment(made)


def test_a_form_lists_the_datasets_and_recipes_that_there_are(client, home):
    schema = parameter_schema(train.fn).model_dump_for_openapi()
    made = client.create_deployment(
        flow_id=client.create_flow(train),
        name="listing",
        parameter_openapi_schema=schema,
        parameters={"parameters": {}},
    )

    def fields():
        renew_choices(Settings())
        return client.read_deployment(made).parameter_openapi_schema["definitions"]["TrainParameters"]["properties"]

    assert not {"enum"} & (fields()["dataset"].keys() | fields()["prepared"].keys())
    with catalog_session(Settings()) as session:
        site = ingest.ensure_dataset(session, name="site", source="/data", revision=None, flow_run_id=None)
        case = ingest.ensure_case(session, site, "case_00000")
        for recipe in (Recipe(shape=32), Recipe(shape=64, frame="kidneys", cyst_to="tumor")):
            row = prepare.ensure_recipe(session, recipe.hash, recipe.to_stored(), None)
            prepare.record_prepared(session, recipe_id=row.id, case_id=case.id, facts=FACTS, ceilings={})
    listed = ["2 · kidneys 64, cyst_to tumor", "1 · volume 32"]
    assert (fields()["dataset"]["enum"], fields()["prepared"]["enum"]) == (["site"], listed)
    found = client.read_deployment(made)
    validate({"parameters": {"prepared": listed[0]}}, found.parameter_openapi_schema, raise_on_error=True)
    assert fields()["epochs"]["position"] == 3
    assert client.read_deployment(made).updated == found.updated  # nothing new, nothing written
    client.delete_deployment(made)
