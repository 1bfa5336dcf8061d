/** Why an input of either encoding is refused. */
export type DecodeFault = 'malformed' | 'unknown-field' | 'bad-field' | 'bad-text';

/** What is wrong with an input and where; gateways turn it into MALFORMED, UNKNOWN_FIELD, BAD_FIELD, BAD_TEXT. */
export class DecodeError extends Error {
  readonly fault: DecodeFault;
  readonly path: string;
  constructor(fault: DecodeFault, path: string) {
    super(`${fault} at ${path === '' ? '(top)' : path}`);
    this.name = 'DecodeError';
    this.fault = fault;
    this.path = path;
  }
}
