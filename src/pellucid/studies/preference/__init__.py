"""The A/B user study of PTG-RM (arXiv 2403.06793, figure 9): two restorations of one input, and which looks better.

    files.py        four folders -> the files of each photograph
    plan.py         what is asked, once and for all: `study.json`
    pictures.py     what people see of it: PNG files that tell nothing but their pixels
    trials.py       in which order, and which system on which side, for one participant
    votes.py        what they answered: `votes.jsonl`, written so that nothing is lost
    session.py      where a participant stands; what a vote changes
    results.py, binomial.py     who is preferred, how often, and how sure that is

One folder holds one study: `study.json`, `votes.jsonl`, and `pictures/` as people saw them. A is always the first
system and B the second; people see neither letters nor names. `web.preference` puts it in a browser.
"""
