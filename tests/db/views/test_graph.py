"""The lineage as a graph: every step leads from a thing that is there to one that is there, and all ways are found."""

from sqlalchemy import select

from db.engine import catalog_session
from db.models import Case, FileKind, Model, PreparedCase, Recipe, Split, Subset, TrainingRun
from db.queries import ingest, prepare
from db.queries.evaluation import start_evaluation
from db.queries.prediction import start_prediction
from db.queries.split import plan_of, record_split
from db.queries.training import register_model

_KINDS = {
    "dataset", "case_file", "recipe", "split", "prepared_case", "training_run", "model", "evaluation", "prediction",
}  # fmt: skip


def _nodes(view_rows):
    return {(row["kind"], row["number"]): row for row in view_rows("lineage_node", order="kind, number")}


def _edges(view_rows, where="1 = 1"):
    return [
        ((row["source_kind"], row["source_number"]), (row["target_kind"], row["target_number"]), row["role"])
        for row in view_rows("lineage_edge", where, order="1, 2, 3, 4, 5")
    ]


def _origins(edges, node):
    found, waiting = set(), [node]
    while waiting:
        here = waiting.pop()
        new = {source for source, target, _ in edges if target == here} - found
        found |= new
        waiting += new
    return found


def test_every_edge_joins_two_nodes(small, view_rows):
    nodes, edges = _nodes(view_rows), _edges(view_rows)
    assert {kind for kind, _ in nodes} == _KINDS
    assert all(source in nodes and target in nodes for source, target, _ in edges)
    assert len(edges) == len(set(edges))
    assert {node for edge in edges for node in edge[:2]} == nodes.keys() - {("dataset", 2)}  # which has no files


def test_from_an_evaluation_back_to_every_file_it_rests_on(small, view_rows):
    nodes, edges = _nodes(view_rows), _edges(view_rows)
    found = _origins(edges, ("evaluation", small.evaluation))
    files = {(nodes[node]["case_name"], nodes[node]["name"]) for node in found if node[0] == "case_file"}
    assert files == {
        (f"case_0000{number}", f"raw/site/{kind}-{number}.nii")
        for number in range(3)
        for kind in ("image", "segmentation")
    }
    assert {kind for kind, _ in found} == _KINDS - {"evaluation", "prediction"}


def test_the_scored_files_stand_with_their_roles(small, view_rows):
    nodes = _nodes(view_rows)
    edges = _edges(view_rows, f"target_kind = 'evaluation' AND target_number = {small.evaluation}")
    assert sorted((nodes[source]["case_name"], role) for source, _, role in edges if source[0] == "case_file") == [
        ("case_00001", "image"),
        ("case_00001", "reference"),
        ("case_00002", "image"),
        ("case_00002", "reference"),
    ]
    assert {(source, role) for source, _, role in edges if source[0] != "case_file"} == {
        (("model", small.model), "model"),
        (("split", small.split), "cases"),
    }


def test_what_was_replaced_is_named_by_the_version_that_was_used(settings, small, view_rows, file_facts):
    with catalog_session(settings) as session:
        ingest.record_file(session, session.get_one(Case, small.cases[1]), FileKind.IMAGE, file_facts("rescanned"))
        # The old image comes back: as a third version, of the same content as the first.
        ingest.record_file(session, session.get_one(Case, small.cases[2]), FileKind.IMAGE, file_facts("rescanned-2"))
        ingest.record_file(session, session.get_one(Case, small.cases[2]), FileKind.IMAGE, file_facts("image-2"))
    edges = view_rows("lineage_edge", "target_kind = 'prepared_case' AND role = 'image'", order="case_name")
    assert [(row["case_name"], bool(row["is_current"])) for row in edges] == [
        ("case_00000", True),
        ("case_00001", False),
        ("case_00002", True),
    ]


def test_a_case_that_was_prepared_anew_is_not_what_the_run_has_read(settings, small, view_rows, prepared_facts):
    with catalog_session(settings) as session:
        anew = prepared_facts(2) | {"image_sha256": "prepared-anew"}
        prepare.record_prepared(session, recipe_id=small.recipe, case_id=small.cases[2], facts=anew, ceilings={})
    edges = view_rows("lineage_edge", "target_kind = 'training_run' AND role = 'files'", order="case_name")
    assert [bool(row["is_current"]) for row in edges] == [True, True, False]


def test_a_recipe_rests_on_the_model_that_finds_its_kidneys(settings, small, view_rows):
    with catalog_session(settings) as session:
        made = Recipe(hash="boxes", settings={"frame": "kidneys", "locator": "ab" * 32})
        session.add(made)
    assert _edges(view_rows, "role = 'locator'") == [(("model", small.model), ("recipe", made.id), "locator")]


def _begun_with(session, small, model, name, sha256):
    """A run of other cases that begins with a model's weights, and its own model."""
    run = TrainingRun(
        recipe_id=small.recipe,
        split_id=small.split,
        config={"begins_with": model.sha256},
        config_hash=name,
        data_hash="other cases",
        environment={"extends": f"run {model.run_id}"},
    )
    session.add(run)
    session.flush()
    return run, register_model(
        session, run.id, epoch=1, path="p", sha256=sha256, score=0.5, parameters=1, flow_run_id=None
    )


def test_what_began_with_the_weights_of_a_model_rests_on_its_cases(settings, small, view_rows):
    with catalog_session(settings) as session:
        first = session.get_one(Model, small.model)
        tuned, its = _begun_with(session, small, first, "tuned", "cd" * 32)
        again, last = _begun_with(session, small, its, "again", "ef" * 32)
        scored = start_evaluation(
            session, model_id=last.id, split_id=small.split, subset=Subset.VALIDATION, flow_run_id=None
        ).id
        predicted = start_prediction(
            session, "key", models=[last], locator=None, flow_run_id=None, scan="new", source="/in", kind="nifti",
            series_uid=None, folder="/out", flips=False,
        ).id  # fmt: skip
        runs, models = (tuned.id, again.id), (its.id, last.id)
    assert _edges(view_rows, "role = 'weights'") == [
        (("model", small.model), ("training_run", runs[0]), "weights"),
        (("model", models[0]), ("training_run", runs[1]), "weights"),
        (("training_run", small.run), ("training_run", runs[0]), "weights"),
        (("training_run", runs[0]), ("training_run", runs[1]), "weights"),
    ]
    assert [tuple(row.values()) for row in view_rows("run_ancestor", order="1, 2")] == [
        (runs[0], small.run),
        (runs[1], small.run),
        (runs[1], runs[0]),
    ]
    rests = view_rows("rests_on_case", "how = 'by its first weights'", order="case_name, kind, number")
    things = [*(("model", number) for number in models), *(("training_run", number) for number in runs)]
    assert [(row["case_name"], row["kind"], row["number"]) for row in rests] == [
        (f"case_0000{case}", *thing) for case in range(3) for thing in things
    ]
    for kind, number in (("evaluation", scored), ("prediction", predicted)):
        rests = view_rows("rests_on_case", f"kind = '{kind}' AND number = {number}", order="case_name")
        assert [(row["case_name"], row["how"]) for row in rests] == [
            (f"case_0000{case}", "by its model") for case in range(3)
        ]


def test_a_split_that_keeps_the_sides_of_another_one_comes_from_it(settings, small, view_rows):
    with catalog_session(settings) as session:
        kept = session.get_one(Split, small.split)
        plan = plan_of(session, kept)
        assert plan.validation == ("case_00001", "case_00002")
        ids = {member.case.name: member.case_id for member in kept.members}
        grown = record_split(
            session, dataset_id=kept.dataset_id, split_hash="grown", seed=1, validation=0.2, folds=None,
            plan=plan, case_ids=ids, flow_run_id=None, kept_id=kept.id,
        ).id  # fmt: skip
    assert (("split", small.split), ("split", grown), "cases") in _edges(view_rows, "source_kind = 'split'")
    assert [row["kept_split_id"] for row in view_rows("split_overview", order="split_id")] == [None, small.split]


def test_all_that_rests_on_a_case(settings, small, view_rows):
    def resting(case):
        rows = view_rows("rests_on_case", f"dataset = 'site' AND case_name = '{case}'", order="kind, number")
        return [(row["kind"], row["number"], row["how"]) for row in rows]

    with catalog_session(settings) as session:
        prepared = dict(session.execute(select(PreparedCase.case_id, PreparedCase.id)).tuples().all())
    common = [("split", small.split, "drawn"), ("training_run", small.run, "read")]
    predictions = [("prediction", number, "by its model") for number in (1, 2)]
    for number, how in ((0, "by its model"), (1, "scored")):
        assert resting(f"case_0000{number}") == [
            ("evaluation", small.evaluation, how),
            ("model", small.model, "learnt"),
            *predictions,
            ("prepared_case", prepared[small.cases[number]], "prepared"),
            *common,
        ]
    assert resting("case_00003") == []
