"""Views of scans from outside the catalog."""

from db.views.view import View

PREDICTION_OVERVIEW = View(
    "prediction_overview",
    "One row a scan that was predicted from outside the catalog.",
    {
        "prediction_id": "number of the prediction",
        "scan": "name of the scan, and of its folder",
        "source": "where the scan was read from",
        "kind": "nifti, itk (NRRD or MetaImage) or dicom",
        "series_uid": "SeriesInstanceUID of a DICOM series; NULL for NIfTI",
        "folder": "where the results were written",
        "status": "running, completed, failed, cancelled or crashed",
        "error": "why there is no plan; NULL where there is one",
        "flags": "in what the scan is unlike the training cases, a JSON list; NULL until that is known",
        "models": "how many networks' mean it is",
        "model_id": "number of the model; the first of several",
        "sha256": "of the scan's file, or of its slices' hashes",
        "tumors": "how many tumours were found",
        "largest_diameter_mm": "of the largest tumour, mm; NULL without one",
        "tumor_ml": "all tumours together, ml; NULL without a plan",
        "started_at": "when it began (UTC)",
        "ended_at": "when it ended (UTC)",
    },
    """
    SELECT p.id AS prediction_id, p.scan, p.source, p.kind, p.series_uid, p.folder, p.status, p.error, p.flags,
           (SELECT COUNT(*) FROM prediction_model m WHERE m.prediction_id = p.id AND NOT m.locates) AS models,
           (SELECT MIN(m.model_id) FROM prediction_model m WHERE m.prediction_id = p.id AND NOT m.locates) AS model_id,
           p.sha256,
           (SELECT COUNT(*) FROM measurement v WHERE v.prediction_id = p.id AND v.name = 'volume_ml') AS tumors,
           (SELECT MAX(v.value) FROM measurement v WHERE v.prediction_id = p.id AND v.name = 'diameter_mm')
               AS largest_diameter_mm,
           (SELECT SUM(v.value) FROM measurement v WHERE v.prediction_id = p.id AND v.name = 'tumor_ml') AS tumor_ml,
           p.started_at, p.ended_at
    FROM prediction p
    """,
)

PLAN_MEASUREMENT = View(
    "plan_measurement",
    "One row a measurement of a kidney or tumour in a plan.",
    {
        "prediction_id": "number of the prediction",
        "scan": "name of the scan",
        "structure": "kidney_left, kidney_right, kidney_fused, no_kidney (what lies beside none), tumor_1, ...; the "
        "largest tumour is number 1",
        "side": "left, right, fused, or none where no kidney lies beside it",
        "measurement": "what is measured, with its unit; plan.json defines each",
        "value": "NULL where there is none, as the distance to a cyst where there is no cyst",
    },
    """
    SELECT p.id AS prediction_id, p.scan, v.structure, v.side, v.name AS measurement, v.value
    FROM measurement v
    JOIN prediction p ON p.id = v.prediction_id
    """,
)
