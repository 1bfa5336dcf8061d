/**
 * What a part may say about itself: log lines and metrics. The real ones (pino, prom-client) are
 * made by server/. Contents, tokens and passwords never go into either.
 */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields & { readonly cause?: string }): void;
  /** The same logger with these fields on every line. */
  with(fields: LogFields): Logger;
}

/** A logger for tests and for parts whose owner does not care. */
export const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => SILENT,
};

/**
 * Numbers a part exports: plain counters and gauges that live in the part and are read on demand
 * (`/metrics` asks each thread). Names are `parley_<room>_<thing>_<unit>`.
 */
export interface MetricSample {
  readonly name: string;
  readonly kind: 'counter' | 'gauge';
  readonly help: string;
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface Metered {
  metrics(): readonly MetricSample[];
}
