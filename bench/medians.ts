/** Several runs of one scenario as one report: the median of every number. */

/** Same shape as the reports; what is no number is the first report's. At least one report. */
export function medians(reports: readonly unknown[]): unknown {
  const [first] = reports;
  if (typeof first === 'number') return middle(reports.filter((one) => typeof one === 'number'));
  if (typeof first !== 'object' || first === null || Array.isArray(first)) return first;
  return Object.fromEntries(
    Object.keys(first).map((field) => [field, medians(reports.map((one) => valueOf(one, field)))]),
  );
}

/** The lower one of an even count. */
function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[(sorted.length - 1) >> 1] ?? 0;
}

function valueOf(report: unknown, field: string): unknown {
  return typeof report === 'object' && report !== null
    ? (report as Readonly<Record<string, unknown>>)[field]
    : undefined;
}
