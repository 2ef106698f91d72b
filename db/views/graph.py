"""What was made from what, as a graph: its nodes, its edges, and all that rests on a case."""

from db.views.view import View

_KINDS = "dataset, case_file, recipe, split, prepared_case, training_run, model, evaluation or prediction"

LINEAGE_NODE = View(
    "lineage_node",
    "One row a thing of the lineage: a file of a case, what was made from it, and what that was made by.",
    {
        "kind": _KINDS,
        "number": "its number among those of its kind",
        "dataset": "name of the dataset; NULL where it is of none",
        "case_name": "name of the case; NULL where it is of no single one",
        "name": "what people call it: a name, a path, a short description",
        "digest": "SHA-256 of its content, or hash of its settings; NULL where it has none",
        "made_at": "when it was made or begun (UTC)",
        "flow_run_id": "the Prefect flow run that made it; NULL outside one",
    },
    """
    SELECT 'dataset' AS kind, d.id AS number, d.name AS dataset, NULL AS case_name, d.source AS name, NULL AS digest,
           d.created_at AS made_at, d.flow_run_id
    FROM dataset d
    UNION ALL
    SELECT 'case_file', f.id, d.name, c.name, f.path, f.sha256, f.created_at, f.flow_run_id
    FROM case_file f JOIN "case" c ON c.id = f.case_id JOIN dataset d ON d.id = c.dataset_id
    UNION ALL
    SELECT 'recipe', r.id, NULL, NULL, json_text(r.settings, 'frame'), r.hash, r.created_at, r.flow_run_id
    FROM recipe r
    UNION ALL
    SELECT 'split', s.id, d.name, NULL, 'seed ' || s.seed, s.hash, s.created_at, s.flow_run_id
    FROM split s JOIN dataset d ON d.id = s.dataset_id
    UNION ALL
    SELECT 'prepared_case', p.id, d.name, c.name, p.image_path, p.image_sha256, p.created_at, p.flow_run_id
    FROM prepared_case p JOIN "case" c ON c.id = p.case_id JOIN dataset d ON d.id = c.dataset_id
    UNION ALL
    SELECT 'training_run', t.id, d.name, NULL, t.status, t.config_hash, t.started_at, t.flow_run_id
    FROM training_run t LEFT JOIN split s ON s.id = t.split_id LEFT JOIN dataset d ON d.id = s.dataset_id
    UNION ALL
    SELECT 'model', m.id, d.name, NULL, m.path, m.sha256, m.created_at, m.flow_run_id
    FROM model m JOIN training_run t ON t.id = m.run_id LEFT JOIN split s ON s.id = t.split_id
         LEFT JOIN dataset d ON d.id = s.dataset_id
    UNION ALL
    SELECT 'evaluation', e.id, d.name, NULL, e.subset, NULL, e.started_at, e.flow_run_id
    FROM evaluation e JOIN split s ON s.id = e.split_id JOIN dataset d ON d.id = s.dataset_id
    UNION ALL
    SELECT 'prediction', p.id, NULL, NULL, p.scan, p.sha256, p.started_at, p.flow_run_id
    FROM prediction p
    """,
)

_FILE = (
    "NOT EXISTS (SELECT 1 FROM case_file g WHERE g.case_id = f.case_id AND g.kind = f.kind "
    "AND g.sha256 = f.sha256 AND g.id > f.id)"
)
"""Of several versions of a file that are alike in content, the newest."""

LINEAGE_EDGE = View(
    "lineage_edge",
    "One row a step of the lineage: the target was made from the source.",
    {
        "source_kind": f"of what it was made from: {_KINDS}",
        "source_number": "its number, as in `lineage_node`",
        "target_kind": f"of what was made: {_KINDS}",
        "target_number": "its number, as in `lineage_node`",
        "role": "what the source is to the target: files, image, segmentation, reference, settings, cases, weights, "
        "training, model or locator",
        "dataset": "name of the dataset of the case; NULL where the step is of no single case",
        "case_name": "name of the case; NULL where the step is of no single one",
        "is_current": "whether the source still is what the target was made from; false where it was replaced since",
    },
    f"""
    SELECT 'dataset' AS source_kind, c.dataset_id AS source_number, 'case_file' AS target_kind, f.id AS target_number,
           'files' AS role, d.name AS dataset, c.name AS case_name, f.superseded_at IS NULL AS is_current
    FROM case_file f JOIN "case" c ON c.id = f.case_id JOIN dataset d ON d.id = c.dataset_id
    UNION ALL
    SELECT 'case_file', f.id, 'prepared_case', p.id, f.kind, d.name, c.name, f.superseded_at IS NULL
    FROM prepared_case p
    JOIN case_file f ON f.case_id = p.case_id AND {_FILE}
         AND ((f.kind = 'image' AND f.sha256 = p.source_image_sha256)
              OR (f.kind = 'segmentation' AND f.sha256 = p.source_segmentation_sha256))
    JOIN "case" c ON c.id = p.case_id JOIN dataset d ON d.id = c.dataset_id
    UNION ALL
    SELECT 'recipe', p.recipe_id, 'prepared_case', p.id, 'settings', d.name, c.name, TRUE
    FROM prepared_case p JOIN "case" c ON c.id = p.case_id JOIN dataset d ON d.id = c.dataset_id
    UNION ALL
    SELECT 'model', m.id, 'recipe', r.id, 'locator', NULL, NULL, TRUE
    FROM recipe r JOIN model m ON m.sha256 = json_text(r.settings, 'locator')
    UNION ALL
    SELECT 'dataset', s.dataset_id, 'split', s.id, 'cases', NULL, NULL, TRUE FROM split s
    UNION ALL
    SELECT 'split', s.kept_id, 'split', s.id, 'cases', NULL, NULL, TRUE FROM split s WHERE s.kept_id IS NOT NULL
    UNION ALL
    SELECT 'recipe', t.recipe_id, 'training_run', t.id, 'settings', NULL, NULL, TRUE FROM training_run t
    UNION ALL
    SELECT 'split', t.split_id, 'training_run', t.id, 'cases', NULL, NULL, TRUE FROM training_run t
    WHERE t.split_id IS NOT NULL
    UNION ALL
    SELECT 'model', m.id, 'training_run', t.id, 'weights', NULL, NULL, TRUE
    FROM training_run t JOIN model m ON m.sha256 = json_text(t.config, 'begins_with')
    UNION ALL
    SELECT 'training_run', b.id, 'training_run', t.id, 'weights', NULL, NULL, TRUE
    FROM training_run t JOIN training_run b ON json_text(t.environment, 'extends') = 'run ' || b.id
    UNION ALL
    SELECT 'prepared_case', p.id, 'training_run', t.id, 'files', d.name, c.name,
           k.image_sha256 = p.image_sha256 AND k.label_sha256 = p.label_sha256
    FROM trained_case k
    JOIN training_run t ON t.id = k.run_id
    JOIN prepared_case p ON p.case_id = k.case_id AND p.recipe_id = t.recipe_id
    JOIN "case" c ON c.id = k.case_id JOIN dataset d ON d.id = c.dataset_id
    UNION ALL
    SELECT 'training_run', m.run_id, 'model', m.id, 'training', NULL, NULL, TRUE FROM model m
    UNION ALL
    SELECT 'model', e.model_id, 'evaluation', e.id, 'model', NULL, NULL, TRUE FROM evaluation e
    UNION ALL
    SELECT 'model', e.locator_id, 'evaluation', e.id, 'locator', NULL, NULL, TRUE
    FROM evaluation e WHERE e.locator_id IS NOT NULL
    UNION ALL
    SELECT 'split', e.split_id, 'evaluation', e.id, 'cases', NULL, NULL, TRUE FROM evaluation e
    UNION ALL
    SELECT 'case_file', f.id, 'evaluation', k.evaluation_id,
           CASE WHEN f.kind = 'image' THEN 'image' ELSE 'reference' END, d.name, c.name, f.superseded_at IS NULL
    FROM scored_case k
    JOIN case_file f ON f.case_id = k.case_id AND {_FILE}
         AND ((f.kind = 'image' AND f.sha256 = k.image_sha256)
              OR (f.kind = 'segmentation' AND f.sha256 = k.reference_sha256))
    JOIN "case" c ON c.id = k.case_id JOIN dataset d ON d.id = c.dataset_id
    UNION ALL
    SELECT 'model', m.model_id, 'prediction', m.prediction_id, CASE WHEN m.locates THEN 'locator' ELSE 'model' END,
           NULL, NULL, TRUE
    FROM prediction_model m
    """,  # noqa: S608 - words of our own
)

RUN_ANCESTOR = View(
    "run_ancestor",
    "One row a training run and each run whose weights it began with, directly or not (`kits train --from`).",
    {
        "run_id": "number of the training run",
        "ancestor_run_id": "number of the run whose model, or a model made from it, was its beginning",
    },
    """
    WITH RECURSIVE ancestor(run_id, ancestor_run_id) AS (
        SELECT t.id, b.run_id FROM training_run t JOIN model b ON b.sha256 = json_text(t.config, 'begins_with')
        UNION
        SELECT a.run_id, b.run_id
        FROM ancestor a JOIN training_run t ON t.id = a.ancestor_run_id
             JOIN model b ON b.sha256 = json_text(t.config, 'begins_with')
    )
    SELECT run_id, ancestor_run_id FROM ancestor
    """,
)

_INHERITED = """
    FROM run_ancestor a JOIN trained_case k ON k.run_id = a.ancestor_run_id
         JOIN "case" c ON c.id = k.case_id JOIN dataset d ON d.id = c.dataset_id{joins}
    WHERE NOT EXISTS (SELECT 1 FROM trained_case o WHERE o.run_id = a.run_id AND o.case_id = k.case_id)
    """

RESTS_ON_CASE = View(
    "rests_on_case",
    "One row a thing that depends on a case, directly or not: make it again, or report it, if the case is wrong.",
    {
        "dataset": "name of the dataset",
        "case_name": "name of the case",
        "kind": "prepared_case, split, training_run, model, evaluation or prediction",
        "number": "its number, as in `lineage_node`",
        "how": "how it rests on it: prepared, drawn, read, learnt, scored, by its model, or by its first weights",
    },
    # The branches of `run_ancestor` are apart from the others, so that these find a case by its index.
    f"""
    SELECT d.name AS dataset, c.name AS case_name, 'prepared_case' AS kind, p.id AS number, 'prepared' AS how
    FROM prepared_case p JOIN "case" c ON c.id = p.case_id JOIN dataset d ON d.id = c.dataset_id
    UNION ALL
    SELECT d.name, c.name, 'split', m.split_id, 'drawn'
    FROM split_member m JOIN "case" c ON c.id = m.case_id JOIN dataset d ON d.id = c.dataset_id
    UNION ALL
    SELECT d.name, c.name, 'training_run', k.run_id, 'read'
    FROM trained_case k JOIN "case" c ON c.id = k.case_id JOIN dataset d ON d.id = c.dataset_id
    UNION ALL
    SELECT DISTINCT d.name, c.name, 'training_run', a.run_id, 'by its first weights'
    {_INHERITED.format(joins="")}
    UNION ALL
    SELECT d.name, c.name, 'model', m.id, 'learnt'
    FROM trained_case k JOIN model m ON m.run_id = k.run_id
         JOIN "case" c ON c.id = k.case_id JOIN dataset d ON d.id = c.dataset_id
    UNION ALL
    SELECT DISTINCT d.name, c.name, 'model', m.id, 'by its first weights'
    {_INHERITED.format(joins=" JOIN model m ON m.run_id = a.run_id")}
    UNION ALL
    SELECT d.name, c.name, 'evaluation', m.evaluation_id, 'scored'
    FROM case_score m JOIN "case" c ON c.id = m.case_id JOIN dataset d ON d.id = c.dataset_id
    WHERE m.region = 'kidney'
    UNION ALL
    SELECT d.name, c.name, 'evaluation', e.id, 'by its model'
    FROM trained_case k JOIN model m ON m.run_id = k.run_id JOIN evaluation e ON e.model_id = m.id
         JOIN "case" c ON c.id = k.case_id JOIN dataset d ON d.id = c.dataset_id
    WHERE NOT EXISTS (SELECT 1 FROM case_score s WHERE s.evaluation_id = e.id AND s.case_id = k.case_id)
    UNION ALL
    SELECT DISTINCT d.name, c.name, 'evaluation', e.id, 'by its model'
    {_INHERITED.format(joins=" JOIN model m ON m.run_id = a.run_id JOIN evaluation e ON e.model_id = m.id")}
      AND NOT EXISTS (SELECT 1 FROM case_score s WHERE s.evaluation_id = e.id AND s.case_id = k.case_id)
    UNION ALL
    SELECT d.name, c.name, 'prediction', q.prediction_id, 'by its model'
    FROM trained_case k JOIN model m ON m.run_id = k.run_id JOIN prediction_model q ON q.model_id = m.id
         JOIN "case" c ON c.id = k.case_id JOIN dataset d ON d.id = c.dataset_id
    UNION ALL
    SELECT DISTINCT d.name, c.name, 'prediction', q.prediction_id, 'by its model'
    {_INHERITED.format(joins=" JOIN model m ON m.run_id = a.run_id JOIN prediction_model q ON q.model_id = m.id")}
    """,  # noqa: S608 - words of our own
)
