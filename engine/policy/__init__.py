"""Pure rules of a decision: dividing a withdrawal, valuing what a book holds, and the evidence that is kept of both."""
