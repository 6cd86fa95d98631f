from test_redaction_planted import *
def test_x(planted, capfd):
    contents = run_all(capfd, {"c":["compare", "recipe.yaml", "--redact", "all,name", "--out", "report"]})|written(planted)
    t=contents["report/comparison.json"].decode()
    print(sorted(found(contents)))
    i=t.find("(202) 555-0143"); print("XX", t[max(0,i-1500):i+60])
    assert 0
