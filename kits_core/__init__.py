"""The domain of kidney-tumour CT: pure functions and frozen values. No Prefect, no SQL, no settings, no globals."""
