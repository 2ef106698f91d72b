"""Views of what was made from what, and whether that still holds."""

from db.views.view import View

LINEAGE = View(
    "lineage",
    "One row an evaluated case: from its scores back to the file that was downloaded.",
    {
        "evaluation_id": "number of the evaluation",
        "case_name": "name of the case",
        "model_id": "number of the model",
        "model_sha256": "of the checkpoint",
        "run_id": "number of the training run",
        "split_hash": "the split that the model was trained by; of an imported model, one of another home",
        "recipe_hash": "the recipe",
        "prepared_image_sha256": "of the prepared image that the training read; validation cases are read too",
        "image_sha256": "of the converted image",
        "image_version": "of the image that was predicted from",
        "archive_sha256": "of the image as it was downloaded",
        "source_url": "where it was downloaded from",
        "reference_sha256": "of the converted segmentation that was scored against; NULL before version 0005",
        "locator_model_id": "number of the model that found the kidneys; NULL where none was needed",
    },
    """
    SELECT e.id AS evaluation_id, c.name AS case_name, e.model_id, o.sha256 AS model_sha256, o.run_id,
           COALESCE(s.hash, json_text(t.imported, 'split_hash')) AS split_hash, r.hash AS recipe_hash,
           COALESCE(d.image_sha256, p.image_sha256) AS prepared_image_sha256,
           f.sha256 AS image_sha256, f.version AS image_version, f.archive_sha256, f.source_url,
           k.reference_sha256, e.locator_id AS locator_model_id
    FROM (SELECT DISTINCT evaluation_id, case_id FROM case_score) m
    JOIN evaluation e ON e.id = m.evaluation_id
    JOIN model o ON o.id = e.model_id
    JOIN training_run t ON t.id = o.run_id
    JOIN recipe r ON r.id = t.recipe_id
    LEFT JOIN split s ON s.id = t.split_id
    JOIN "case" c ON c.id = m.case_id
    LEFT JOIN trained_case d ON d.run_id = t.id AND d.case_id = c.id
    LEFT JOIN prepared_case p ON p.case_id = c.id AND p.recipe_id = r.id
    LEFT JOIN scored_case k ON k.evaluation_id = e.id AND k.case_id = c.id
    LEFT JOIN case_file f ON f.id = (
        SELECT MAX(g.id) FROM case_file g
        WHERE g.case_id = c.id AND g.kind = 'image' AND g.sha256 = COALESCE(k.image_sha256, p.source_image_sha256)
    )
    """,
)

STALE = View(
    "stale",
    "One row a case of something that was made from files that were replaced since: make it again.",
    {
        "what": "prepared_case, training_run or evaluation",
        "number": "its number",
        "dataset": "name of the dataset",
        "case_name": "name of the case whose files were replaced",
        "changed": "image or segmentation, of the source; prepared, where a training read prepared files that were "
        "made anew since; model, where the network was trained again since and has other weights",
    },
    """
    SELECT 'prepared_case' AS what, p.id AS number, d.name AS dataset, c.name AS case_name, 'image' AS changed
    FROM prepared_case p
    JOIN "case" c ON c.id = p.case_id
    JOIN dataset d ON d.id = c.dataset_id
    LEFT JOIN case_file f ON f.case_id = p.case_id AND f.kind = 'image' AND f.superseded_at IS NULL
    WHERE COALESCE(f.sha256, '') <> p.source_image_sha256
    UNION ALL
    SELECT 'prepared_case', p.id, d.name, c.name, 'segmentation'
    FROM prepared_case p
    JOIN "case" c ON c.id = p.case_id
    JOIN dataset d ON d.id = c.dataset_id
    LEFT JOIN case_file f ON f.case_id = p.case_id AND f.kind = 'segmentation' AND f.superseded_at IS NULL
    WHERE COALESCE(f.sha256, '') <> COALESCE(p.source_segmentation_sha256, '')
    UNION ALL
    SELECT 'training_run', t.run_id, d.name, c.name,
           CASE WHEN t.image_sha256 <> p.image_sha256 OR t.label_sha256 <> p.label_sha256 THEN 'prepared'
                WHEN g.sha256 <> p.source_segmentation_sha256 THEN 'segmentation' ELSE 'image' END
    FROM trained_case t
    JOIN training_run r ON r.id = t.run_id
    JOIN prepared_case p ON p.case_id = t.case_id AND p.recipe_id = r.recipe_id
    LEFT JOIN case_file f ON f.case_id = t.case_id AND f.kind = 'image' AND f.superseded_at IS NULL
    LEFT JOIN case_file g ON g.case_id = t.case_id AND g.kind = 'segmentation' AND g.superseded_at IS NULL
    JOIN "case" c ON c.id = t.case_id
    JOIN dataset d ON d.id = c.dataset_id
    WHERE t.image_sha256 <> p.image_sha256 OR t.label_sha256 <> p.label_sha256
       OR f.sha256 <> p.source_image_sha256 OR g.sha256 <> p.source_segmentation_sha256
    UNION ALL
    SELECT 'evaluation', k.evaluation_id, d.name, c.name, f.kind
    FROM scored_case k
    JOIN case_file f ON f.case_id = k.case_id AND f.superseded_at IS NULL
    JOIN "case" c ON c.id = k.case_id
    JOIN dataset d ON d.id = c.dataset_id
    WHERE (f.kind = 'image' AND f.sha256 <> k.image_sha256)
       OR (f.kind = 'segmentation' AND f.sha256 <> k.reference_sha256)
    UNION ALL
    SELECT 'evaluation', k.evaluation_id, d.name, c.name, 'model'
    FROM scored_case k
    JOIN evaluation e ON e.id = k.evaluation_id
    JOIN model o ON o.id = e.model_id
    JOIN "case" c ON c.id = k.case_id
    JOIN dataset d ON d.id = c.dataset_id
    WHERE k.model_sha256 <> o.sha256
    UNION ALL
    SELECT 'evaluation', m.evaluation_id, d.name, c.name, f.kind
    FROM case_file f
    JOIN case_score m ON m.case_id = f.case_id AND m.region = 'kidney'
    LEFT JOIN scored_case k ON k.evaluation_id = m.evaluation_id AND k.case_id = m.case_id
    JOIN "case" c ON c.id = f.case_id
    JOIN dataset d ON d.id = c.dataset_id
    WHERE f.superseded_at IS NULL AND f.version > 1 AND k.id IS NULL
    """,
)
