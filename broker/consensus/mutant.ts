/** One small change of text in the compiled core: a fault that an implementation has had. */
export interface Mutant {
  readonly name: string;
  /** Whose fault it was, or what it breaks. */
  readonly fault: string;
  readonly file: string;
  /** Text of the compiled file, found exactly once; white space counts as one blank. */
  readonly find: string;
  readonly replace: string;
}
