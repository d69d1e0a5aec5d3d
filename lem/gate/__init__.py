"""Who may trade: the gate's judgement of a candidate, and decisions made by hand."""
