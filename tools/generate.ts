/**
 * Everything that is generated: from proto/ the TypeScript descriptors (buf), the table of reasons
 * and docs/ERRORS.md; from the table of settings docs/CONFIG.md. `--check` writes nothing and fails when the committed output is not current.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { getOption } from '@bufbuild/protobuf';
import { file_parley_v1_errors } from '../proto/gen/parley/v1/errors_pb.ts';
import { reasons, type ReasonRule } from '../proto/gen/parley/v1/options_pb.ts';
import { configDocument } from '../server/config-document.ts';

const HEADER = 'Generated from proto/parley/v1/errors.proto by `npm run generate`; do not edit.';

function reasonsModule(rules: readonly ReasonRule[]): string {
  const codes = [...new Set(rules.map((rule) => rule.code))];
  const rows = rules.map(
    (rule) =>
      `  ${rule.reason}: { code: '${rule.code}', http: ${rule.http}, retry: '${rule.retry}', close: ${rule.close} },`,
  );
  return `/** ${HEADER} */

/** Connect/gRPC codes that reasons use. */
export type Code =
${codes.map((code) => `  | '${code}'`).join('\n')};

/** never: do not repeat; fix: correct it first; sign_in: sign in anew; wait: after retryAfterMs;
 * backoff: the same again, later; reread: read the state again, then redo. */
export type Retry = 'never' | 'fix' | 'sign_in' | 'wait' | 'backoff' | 'reread';

export interface ReasonRule {
  readonly code: Code;
  readonly http: number;
  readonly retry: Retry;
  /** WebSocket close code when it ends a connection; 0 = it never does. */
  readonly close: number;
}

export type Reason =
${rules.map((rule) => `  | '${rule.reason}'`).join('\n')};

export const REASONS: Readonly<Record<Reason, ReasonRule>> = {
${rows.join('\n')}
};
`;
}

function errorsDocument(rules: readonly ReasonRule[]): string {
  const rows = rules.map((rule) => {
    const close = rule.close === 0 ? '' : String(rule.close);
    return `| ${rule.reason} | ${rule.code} | ${rule.http} | ${rule.retry} | ${close} | ${rule.doc} |`;
  });
  return `<!-- ${HEADER} -->
# Errors

Every refusal carries a code (Connect/gRPC) and a stable reason. \`retry\` says what a client does:
**never** repeat it · **fix** it first · **sign_in** anew · **wait** as long as \`retryAfterMs\` says ·
**backoff** and send the same again · **reread** the state, then redo. A close code from 4000 to 4499
asks the client to reconnect, one from 4500 to 4999 asks it not to.

| reason | code | HTTP | retry | close | what it means |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}

function main(): void {
  const check = process.argv.includes('--check');
  if (!check) execFileSync('node_modules/.bin/buf', ['generate'], { stdio: 'inherit' });
  const rules = getOption(file_parley_v1_errors, reasons);
  const outputs = new Map([
    ['core/reasons.ts', reasonsModule(rules)],
    ['clients/sdk/src/reasons.ts', reasonsModule(rules)],
    ['docs/ERRORS.md', errorsDocument(rules)],
    ['docs/CONFIG.md', configDocument()],
  ]);
  for (const [path, text] of outputs) {
    if (!check) writeFileSync(path, text);
    else if (readFileSync(path, 'utf8') !== text) {
      process.stderr.write(`${path} is not current; run: npm run generate\n`);
      process.exitCode = 1;
    }
  }
}

main();
