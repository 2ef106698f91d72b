"""Views of cases: their status, their patients, and the problems that stop them."""

from db.views.view import View

CASE_OVERVIEW = View(
    "case_overview",
    "One row a case: its status, its files and volumes, and facts about the patient.",
    {
        "dataset": "name of the dataset",
        "case_name": "name of the case, as case_00000",
        "status": "pending, ingested or quarantined",
        "has_segmentation": "whether there is a reference",
        "phase": "contrast phase: arterial or nephrogenic; NULL if unknown",
        "sex": "as in the clinical record",
        "age_years": "age at nephrectomy",
        "tumor_histologic_subtype": "as in the clinical record",
        "pathology_t_stage": "as in the clinical record",
        "radiographic_size_cm": "largest tumour diameter that the radiologist gave, in cm",
        "image_shape": "voxels along each axis of the file, a JSON list",
        "image_spacing_mm": "distance of voxel centres along each axis of the file, in mm, a JSON list",
        "image_bytes": "size of the converted image",
        "image_notes": "what of the source's header a reader should know, a JSON list; NULL for files from before",
        "image_version": "1, and one more each time that the source had another image",
        "vanished_at": "when the source was first seen without the image (UTC); NULL while it has it",
        "kidney_ml": "volume of label 1 in the reference, ml",
        "tumor_ml": "volume of label 2 in the reference, ml",
        "cyst_ml": "volume of label 3 in the reference, ml",
    },
    """
    SELECT d.name AS dataset, c.name AS case_name, c.status, c.has_segmentation, c.phase, r.sex, r.age_years,
           r.tumor_histologic_subtype, r.pathology_t_stage, r.radiographic_size_cm,
           f.shape AS image_shape, f.spacing_mm AS image_spacing_mm, f.bytes AS image_bytes,
           f.notes AS image_notes, f.version AS image_version, f.vanished_at,
           k.ml AS kidney_ml, t.ml AS tumor_ml, y.ml AS cyst_ml
    FROM "case" c
    JOIN dataset d ON d.id = c.dataset_id
    LEFT JOIN clinical_record r ON r.case_id = c.id
    LEFT JOIN case_file f ON f.case_id = c.id AND f.kind = 'image' AND f.superseded_at IS NULL
    LEFT JOIN label_volume k ON k.case_id = c.id AND k.label = 1
    LEFT JOIN label_volume t ON t.case_id = c.id AND t.label = 2
    LEFT JOIN label_volume y ON y.case_id = c.id AND y.label = 3
    """,
)

OPEN_PROBLEM = View(
    "open_problem",
    "The open problems: what stops a case at a stage now.",
    {
        "dataset": "name of the dataset",
        "case_name": "name of the case",
        "stage": "ingest, clinical (its record), prepare or evaluate",
        "error": "what was expected, what was got, what to do",
        "attempts": "how often it was met",
        "first_seen": "when it was first met (UTC)",
        "last_seen": "when it was last met (UTC)",
    },
    """
    SELECT d.name AS dataset, c.name AS case_name, p.stage, p.error, p.attempts, p.first_seen, p.last_seen
    FROM problem p
    JOIN "case" c ON c.id = p.case_id
    JOIN dataset d ON d.id = c.dataset_id
    WHERE p.resolved_at IS NULL
    """,
)

PROBLEM_HISTORY = View(
    "problem_history",
    "One row a problem that a case has had at a stage, open or resolved. It is the same problem until it is resolved.",
    {
        "dataset": "name of the dataset",
        "case_name": "name of the case",
        "stage": "ingest, clinical (its record), prepare or evaluate",
        "occurrence": "1 for the first time that this case had one at this stage, then 2, ...",
        "times": "how often this case had one at this stage until now",
        "is_open": "whether it keeps the case from the stage now",
        "error": "what was expected, what was got, what to do; of the last attempt",
        "attempts": "how often it was met before it was resolved",
        "first_seen": "when it was first met (UTC)",
        "last_seen": "when it was last met (UTC)",
        "resolved_at": "when the stage succeeded (UTC); NULL while it is open",
        "hours_open": "from when it was first met until it was resolved, or until now",
        "hours_ago": "hours since it was last met",
        "flow_run_id": "the Prefect flow run that met it last; NULL outside one",
    },
    """
    SELECT d.name AS dataset, c.name AS case_name, p.stage,
           (SELECT COUNT(*) FROM problem q WHERE q.case_id = p.case_id AND q.stage = p.stage AND q.id <= p.id)
               AS occurrence,
           (SELECT COUNT(*) FROM problem q WHERE q.case_id = p.case_id AND q.stage = p.stage) AS times,
           p.resolved_at IS NULL AS is_open, p.error, p.attempts, p.first_seen, p.last_seen, p.resolved_at,
           COALESCE(seconds_between(p.first_seen, p.resolved_at), seconds_between(p.first_seen, CURRENT_TIMESTAMP))
               / 3600 AS hours_open,
           seconds_between(p.last_seen, CURRENT_TIMESTAMP) / 3600 AS hours_ago, p.flow_run_id
    FROM problem p
    JOIN "case" c ON c.id = p.case_id
    JOIN dataset d ON d.id = c.dataset_id
    """,
)

PATIENT = View(
    "patient",
    "One row a case with a clinical record: whose scan it is, and what is known of the patient, in the record's words.",
    {
        "dataset": "name of the dataset",
        "case_name": "name of the case",
        "patient_id": "the same for all scans of a patient, where records or DICOM files say it; a pseudonym where the "
        "data were de-identified",
        "sex": "sex",
        "age_years": "age at nephrectomy",
        "body_mass_index": "in kg/m²",
        "smoking_history": "never_smoked, previous_smoker or current_smoker in KiTS23",
        "radiographic_size_cm": "largest tumour diameter that the radiologist gave, in cm",
        "pathologic_size_cm": "largest tumour diameter that the pathologist gave, in cm",
        "malignant": "whether the tumour is malignant",
        "tumor_histologic_subtype": "histology, as clear_cell_rcc",
        "tumor_isup_grade": "nuclear grade by ISUP, 1 to 4 as text; NULL where none was given, as for many histologies",
        "tumor_necrosis": "whether the pathologist saw necrosis",
        "pathology_t_stage": "primary tumour, as 1a",
        "pathology_n_stage": "lymph nodes, as 0 or X",
        "pathology_m_stage": "metastasis, as 0 or X",
        "surgery_type": "open, laparoscopic or robotic in KiTS23",
        "surgical_procedure": "radical_nephrectomy or partial_nephrectomy in KiTS23",
        "vital_status": "censored or dead in KiTS23",
        "vital_days_after_surgery": "days from the operation until the vital status was noted",
        "aua_risk_score": "risk group of the American Urological Association",
        "further": "what else the record says, a JSON object",
    },
    """
    SELECT d.name AS dataset, c.name AS case_name, r.patient_id, r.sex, r.age_years, r.body_mass_index,
           r.smoking_history, r.radiographic_size_cm, r.pathologic_size_cm, r.malignant, r.tumor_histologic_subtype,
           r.tumor_isup_grade, r.tumor_necrosis, r.pathology_t_stage, r.pathology_n_stage, r.pathology_m_stage,
           r.surgery_type, r.surgical_procedure, r.vital_status, r.vital_days_after_surgery, r.aua_risk_score,
           r.extra AS further
    FROM clinical_record r
    JOIN "case" c ON c.id = r.case_id
    JOIN dataset d ON d.id = c.dataset_id
    """,
)

DISK_USAGE = View(
    "disk_usage",
    "One row a kind of files of a dataset, and how much room they take. Models, predictions and reports are not in it.",
    {
        "dataset": "name of the dataset",
        "stage": "converted, what ingestion left, or prepared",
        "what": "image or segmentation; for prepared files the recipe's hash",
        "is_current": "false for files that a newer version has replaced, which stay",
        "cases": "how many cases have such files",
        "bytes": "of all of them together; NULL where none is known",
        "cases_without_size": "cases whose size is not known: they were prepared before version 0015",
    },
    """
    SELECT d.name AS dataset, 'converted' AS stage, f.kind AS what, f.superseded_at IS NULL AS is_current,
           COUNT(DISTINCT f.case_id) AS cases, SUM(f.bytes) AS bytes, 0 AS cases_without_size
    FROM dataset d
    JOIN "case" c ON c.dataset_id = d.id
    JOIN case_file f ON f.case_id = c.id
    GROUP BY d.name, f.kind, f.superseded_at IS NULL
    UNION ALL
    SELECT d.name, 'prepared', r.hash, TRUE, COUNT(*), SUM(p.bytes), COUNT(*) - COUNT(p.bytes)
    FROM dataset d
    JOIN "case" c ON c.dataset_id = d.id
    JOIN prepared_case p ON p.case_id = c.id
    JOIN recipe r ON r.id = p.recipe_id
    GROUP BY d.name, r.hash
    """,
)
