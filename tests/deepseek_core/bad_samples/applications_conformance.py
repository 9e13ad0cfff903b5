from bad_samples.table import made_classes
from deepseek_core.testing import ApplicationConformance


class Numbers(ApplicationConformance):
    def source(self, folder):
        path = folder / "numbers"
        path.write_text("3\n1\n2\n5\n4\n")
        return path

    def unfit(self, folder):
        few = folder / "few"
        few.write_text("1\n")
        return [few, folder / "missing"]

    def inputs(self, folder):
        path = folder / "asked"
        path.write_text("0\n9\n")
        return [path]


globals().update(made_classes(Numbers, "application"))
