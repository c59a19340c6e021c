"""Pure rules of a decision: classifying a withdrawal, valuing what a book holds, and the evidence of both."""
