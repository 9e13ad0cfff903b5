from bad_samples.table import made_classes
from deepseek_core.testing import TierConformance


def make_url(self, tmp_path):
    return f"bad://{tmp_path}"


globals().update(made_classes(TierConformance, "tier", make_url=make_url, many=1_200))
