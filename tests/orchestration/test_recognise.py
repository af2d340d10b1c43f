"""Questions as people might put them: PARAPHRASES were written down before the rules, SECOND and THIRD after them.

Rules were mended after SECOND, so only THIRD (26 questions, one of them wrong) says how they do on questions never seen; it is
too small to show a share of silent errors of 1 %, and the bound below is one over all three groups.

Four settings: biopsies (two text classes), wines (three classes), machines (a made-up table with text labels), and no table.
`retrieve` questions come with documents. Several kinds in one question are joined by "+". Where a prediction is explained the
prediction itself belongs to the plan, so `explain` always stands with `predict`.
"""

import pytest

from prsm_protocol.orchestration.recognise import Subject, by_rules

PARAPHRASES = {
    "BIOPSIES": [
        ("Which of these cases are malignant?", "predict"),
        ("Is this sample benign or malignant?", "predict"),
        ("Classify the biopsies in the table.", "predict"),
        ("Tell me the diagnosis for every row.", "predict"),
        ("Do any of these tumours look malignant?", "predict"),
        ("Sort the cases into benign and malignant.", "predict"),
        ("How many of the cases are malignant?", "predict"),
        ("Give a prediction for each patient.", "predict"),
        ("Flag the malignant ones.", "predict"),
        ("Who has cancer that is malignant?", "predict"),
        ("Why is case 3 malignant?", "predict+explain"),
        ("Which measurements decide whether a tumour is malignant?", "predict+explain"),
        ("What drives the diagnosis?", "predict+explain"),
        ("Show me the features that matter most for these predictions.", "predict+explain"),
        ("Explain the diagnosis of every patient.", "predict+explain"),
        ("Which cases are malignant and why?", "predict+explain"),
        ("Is the linear model as good?", "compare"),
        ("Which model is more accurate on the labelled cases?", "compare"),
        ("Compare the network with the linear model.", "compare"),
        ("Would a simpler model do just as well?", "compare"),
        ("How much worse is the linear classifier?", "compare"),
        (
            "Predict the diagnosis, say what drives it, and tell me whether the linear model does equally well.",
            "predict+explain+compare",
        ),
        ("Find the malignant cases and check whether the linear model agrees.", "predict+compare"),
        ("Diagnose each patient; also, is the linear one better?", "predict+compare"),
        ("What is the mean of mean radius?", "calculate"),
        ("average worst area", "calculate"),
    ],
    "WINES": [
        ("Which cultivar is each wine?", "predict"),
        ("Assign every wine to its cultivar.", "predict"),
        ("Label these wines.", "predict"),
        ("Determine the cultivar of the wines in the file.", "predict"),
        ("What cultivar do these bottles come from?", "predict"),
        ("Are these from cultivar 2?", "predict"),
        ("Why were they assigned to that cultivar?", "predict+explain"),
        ("What is it about a wine that makes it cultivar 2?", "predict+explain"),
        ("Which properties matter most for the cultivar?", "predict+explain"),
        ("What role does alcohol play in telling the cultivars apart?", "predict+explain"),
        ("Which of the two wine models makes fewer mistakes?", "compare"),
        ("Do both models reach the same accuracy?", "compare"),
        ("How does the linear model stack up against the network?", "compare"),
        (
            "Which cultivar is each wine, what decides that, and does the linear model do as well?",
            "predict+explain+compare",
        ),
        ("What is the mean alcohol?", "calculate"),
        ("Sum of proline over all wines", "calculate"),
        ("median color intensity", "calculate"),
        ("What's the standard deviation of magnesium?", "calculate"),
        ("Compute the average malic acid content.", "calculate"),
    ],
    "MACHINES": [
        ("Which machines are worn out?", "predict"),
        ("Are these bearings healthy?", "predict"),
        ("What will the condition of each machine be?", "predict"),
        ("Predict condition", "predict"),
        ("Estimate the condition of the machines listed here.", "predict"),
        ("What makes a machine worn out?", "predict+explain"),
        ("How come machine 3 counts as worn out?", "predict+explain"),
        ("On what grounds was each one put into its class?", "predict+explain"),
        ("What are the reasons behind these classifications?", "predict+explain"),
        ("List the worn out machines together with the most influential measurements.", "predict+explain"),
        ("Is the small net any better than the logistic model?", "compare"),
        ("Does one model outperform the other?", "compare"),
        ("What is the highest vibration?", "calculate"),
        ("total running hours", "calculate"),
    ],
    "NO_TABLE": [
        ("What is 3/7 + 2/5?", "calculate"),
        ("2^64 - 1", "calculate"),
        ("Work out (12.5 + 3) * 4.", "calculate"),
        ("How much is 19 times 23?", "calculate"),
        ("15% of 2400", "calculate"),
        ("Write a short poem about rivers.", "write"),
        ("Explain in two sentences what a zero-knowledge proof is.", "write"),
        ("Summarise what a neural network does.", "write"),
        ("Draft a polite reply to a colleague who is late.", "write"),
    ],
    "DOCUMENTS": [
        ("What does the report say about side effects?", "retrieve"),
        ("Who funded the study?", "retrieve"),
        ("Where were the samples collected?", "retrieve"),
        ("When did the trial end?", "retrieve"),
        ("According to the paper, what dose was given?", "retrieve"),
        ("Why did the authors stop early?", "retrieve"),
        ("Find the passage on randomisation.", "retrieve"),
        ("Quote the sentence about limitations.", "retrieve"),
        ("How many patients were enrolled?", "retrieve"),
        ("Is the treatment better than the placebo?", "retrieve"),
    ],
}

BIOPSY_COLUMNS = (
    "mean radius",
    "mean texture",
    "mean area",
    "worst area",
    "worst concave points",
    "radius error",
    "diagnosis",
)
WINE_COLUMNS = ("alcohol", "malic acid", "ash", "magnesium", "color intensity", "proline", "cultivar")
MACHINE_COLUMNS = ("temperature", "vibration", "pressure", "running hours", "condition")
SUBJECTS = {
    "BIOPSIES": Subject(
        BIOPSY_COLUMNS, ("diagnosis",), ("benign", "malignant"), ("biopsy student", "biopsy linear"), 1, 0
    ),
    "WINES": Subject(WINE_COLUMNS, ("cultivar",), ("cultivar 1", "cultivar 2", "cultivar 3"), ("wine student",), 1, 0),
    "MACHINES": Subject(MACHINE_COLUMNS, ("condition",), ("healthy", "worn out"), ("machine student",), 1, 0),
    "NO_TABLE": Subject((), ("diagnosis", "cultivar"), ("benign", "malignant"), ("biopsy student",), 0, 0),
    "DOCUMENTS": Subject((), ("diagnosis",), ("benign", "malignant"), ("biopsy student",), 0, 2),
}
# Written against the finished rules. Of SECOND, 9 of 28 failed; general features were mended, no sentence got a rule. THIRD
# came after that, and nothing was mended for it: its one failure is still there.
SECOND = [
    ("BIOPSIES", "Can you tell which lumps are benign?", "predict"),
    ("BIOPSIES", "I need a diagnosis for these eight people.", "predict"),
    ("BIOPSIES", "What would your model say about the patients in cases.csv?", "predict"),
    ("BIOPSIES", "Run the classifier on my data.", "predict"),
    ("BIOPSIES", "Which variables had the biggest say in the diagnosis?", "predict+explain"),
    ("BIOPSIES", "Justify the prediction for the first row.", "predict+explain"),
    ("BIOPSIES", "What made you call number 4 malignant?", "predict+explain"),
    ("BIOPSIES", "Rank the features by importance.", "predict+explain"),
    ("BIOPSIES", "Could a logistic regression match the neural network?", "compare"),
    ("BIOPSIES", "Is there any real gap between the two models?", "compare"),
    ("BIOPSIES", "Which of the classifiers should I trust?", "compare"),
    ("BIOPSIES", "Test whether the linear model is significantly worse.", "compare"),
    ("BIOPSIES", "Are the cases malignant, and would a linear model say the same?", "predict+compare"),
    ("WINES", "Tell me the cultivars.", "predict"),
    ("WINES", "Work out which cultivar every bottle belongs to and what it depends on.", "predict+explain"),
    ("WINES", "How high is the average proline?", "calculate"),
    ("WINES", "add up the magnesium column", "calculate"),
    ("WINES", "Does alcohol matter for the cultivar?", "predict+explain"),
    ("MACHINES", "Will any of the machines be worn out?", "predict"),
    ("MACHINES", "Which machines need attention because they are worn out?", "predict"),
    ("MACHINES", "What is behind the worn out verdicts?", "predict+explain"),
    ("MACHINES", "What's the average temperature and pressure?", "calculate"),
    ("NO_TABLE", "compute 7 * (8 + 1)", "calculate"),
    ("NO_TABLE", "Tell me a joke.", "write"),
    ("NO_TABLE", "100 divided by 7", "calculate"),
    ("DOCUMENTS", "What were the main findings?", "retrieve"),
    ("DOCUMENTS", "Does the text mention a control group?", "retrieve"),
    ("DOCUMENTS", "Summarise the conclusions.", "retrieve"),
]
THIRD = [
    ("BIOPSIES", "Are any of those biopsies dangerous, i.e. malignant?", "predict"),
    ("BIOPSIES", "Could you go through the list and tell me who is benign?", "predict"),
    ("BIOPSIES", "Please screen the samples.", "predict"),
    ("BIOPSIES", "Give me the diagnosis plus the reasons for it.", "predict+explain"),
    ("BIOPSIES", "On which measurements is the diagnosis based?", "predict+explain"),
    ("BIOPSIES", "How strongly does worst area influence the result?", "predict+explain"),
    ("BIOPSIES", "Is a simple linear classifier enough, or do I need the network?", "compare"),
    ("BIOPSIES", "How often do the two classifiers contradict each other?", "compare"),
    ("BIOPSIES", "Which is more reliable, the linear model or the network?", "compare"),
    ("BIOPSIES", "Which rows are malignant? Explain. Compare with the linear model.", "predict+explain+compare"),
    ("WINES", "Identify the cultivar.", "predict"),
    ("WINES", "Which cultivar do rows 1 to 8 belong to?", "predict"),
    ("WINES", "What distinguishes cultivar 1 from the rest: alcohol or proline?", "predict+explain"),
    ("WINES", "smallest ash value", "calculate"),
    ("WINES", "What do the color intensity values sum to?", "calculate"),
    ("WINES", "Is the network more accurate than the linear model?", "compare"),
    ("MACHINES", "Flag every machine that is worn out.", "predict"),
    ("MACHINES", "Which machines are healthy, and for what reason?", "predict+explain"),
    ("MACHINES", "Does vibration decide the condition?", "predict+explain"),
    ("MACHINES", "mean temperature", "calculate"),
    ("MACHINES", "Who wins, the network or the linear one?", "compare"),
    ("NO_TABLE", "(3+4)^2", "calculate"),
    ("NO_TABLE", "Translate good morning into French.", "write"),
    ("NO_TABLE", "Tell me about 3 famous painters.", "write"),
    ("DOCUMENTS", "Which centres took part?", "retrieve"),
    ("DOCUMENTS", "What is the mean age of the patients?", "retrieve"),
]

CASES = [(setting, text, kinds) for setting in SUBJECTS for text, kinds in PARAPHRASES[setting]]
CASES += SECOND + THIRD


def answer(setting, text):
    """What the chain of rules and default says without a model: (kinds, was it a rule)."""
    kinds = by_rules(text, SUBJECTS[setting])
    return ("+".join(kinds), True) if kinds else ("retrieve" if setting == "DOCUMENTS" else "write", False)


def test_paraphrases_are_recognised():
    wrong = [(text, answer(s, text), kinds) for s, text, kinds in CASES if answer(s, text)[0] != kinds]
    silent = [entry for entry in wrong if entry[1][1]]
    assert len(CASES) >= 120
    assert len(wrong) <= 0.05 * len(CASES), wrong
    assert len(silent) <= 0.01 * len(CASES), silent


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (
            "Which of these cases are malignant, which measurements decide it, and is the linear model as good?",
            ("predict", "explain", "compare"),
        )
    ],
)
def test_a_question_of_three_clauses_gives_three_kinds(text, kinds):
    assert by_rules(text, SUBJECTS["BIOPSIES"]) == kinds


def test_one_and_the_same_word_means_nothing_without_a_table():
    assert by_rules("Why is it malignant?", SUBJECTS["NO_TABLE"]) == ()
