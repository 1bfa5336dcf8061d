/**
 * What tests say that they prove. Tests cite the numbers of docs/REQUIREMENTS.md (`R016`), of the
 * conformance cases of docs/PROTOCOL.md §9 (`case 17`, `cases 1, 2`), and, in the clients, those of
 * docs/CLIENT.md: acceptance cases (`CLIENT §4 case 5`, or `case 5` in a browser test) and the SDK's
 * invariants (`S4`). A citation stands in a title, or in a comment above the test that it is about.
 */

export interface Citation {
  /** `R016`, `case 17`, `CLIENT case 5` or `S4`. */
  readonly what: string;
  /** Title of the test or group of tests; the file's own comment has none. */
  readonly title: string;
}

export interface RequirementRow {
  readonly row: string;
  readonly text: string;
}

const RANGE_MAX = 100;
const CASES = /\b(CLIENT\s+(?:§\s?4\s+)?)?[Cc]ases?\s+(\d+(?:\s*(?:,|and|–|-)\s*\d+)*)/g;
const ROWS = /\bR(\d{3})(?:\s*[–-]\s*R?(\d{3}))?\b/g;
const INVARIANTS = /(?<![\w-])S(\d{1,2})(?:\s*[–-]\s*S?(\d{1,2}))?(?![\w-])/g;
const INVARIANT_LAST = 19;
const TITLE =
  /\b(?:it|describe|context)(?:\.\w+)?\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g;
const COMMENT = /\/\*[\s\S]*?\*\/|(?<![:'"`])\/\/[^\n]*/g;

/** Files whose titles and comments count: tests, the suites that tests share, simulations, benches. */
export function mayCite(path: string): boolean {
  return (
    /(\.test|\.sim|contract)\.tsx?$/.test(path) ||
    /^(tests|bench)\/.*\.ts$/.test(path) ||
    /\/testing\/.*\.ts$/.test(path)
  );
}

/** All citations of one file, in order, each pair of number and title once. */
export function citationsOf(path: string, text: string): readonly Citation[] {
  const titles = [...text.matchAll(TITLE)].map((match) => ({
    at: match.index,
    title: (match[1] ?? match[2] ?? match[3] ?? '').replaceAll(/\\(['"`])/g, '$1'),
  }));
  const comments = [...text.matchAll(COMMENT)].map((match) => ({
    at: match.index,
    said: match[0],
    title: titles.find(({ at }) => at > match.index)?.title ?? '',
  }));
  const said = [...titles.map(({ at, title }) => ({ at, said: title, title })), ...comments];
  const found = said
    .toSorted((a, b) => a.at - b.at)
    .flatMap((item) => citedIn(path, item.said).map((what) => ({ what, title: item.title })));
  const once = new Map(found.map((citation) => [`${citation.what}\0${citation.title}`, citation]));
  return [...once.values()];
}

/** Numbers of rows (`- R001 text`) and their texts, in order. */
export function requirementRows(document: string): readonly RequirementRow[] {
  return [...document.matchAll(/^- (R\d{3}) (.+)$/gm)].map(([, row = '', text = '']) => ({
    row,
    text,
  }));
}

/** Numbers of conformance cases (`17 given, when -> then`, in the fence of section 9), in order. */
export function conformanceCases(document: string): readonly RequirementRow[] {
  const [, list = ''] = /^## 9[^\n]*\n[\s\S]*?^```\n([\s\S]*?)^```/m.exec(document) ?? [];
  return [...list.matchAll(/^(\d+) (.+)$/gm)].map(([, number = '', text = '']) => ({
    row: `case ${number}`,
    text,
  }));
}

/** Acceptance cases of the clients (`5. Server kill …`, in section 4), in order. */
export function acceptanceCases(document: string): readonly RequirementRow[] {
  const list = document.slice(document.search(/^## 4/m));
  return [...list.matchAll(/^(\d+)\. (.+)$/gm)].map(([, number = '', text = '']) => ({
    row: `CLIENT case ${number}`,
    text,
  }));
}

/** The SDK's invariants (`- S4 Clearing the draft …`), in order. */
export function sdkInvariants(document: string): readonly RequirementRow[] {
  return [...document.matchAll(/^- (S\d{1,2}) (.+)$/gm)].map(([, row = '', text = '']) => ({
    row,
    text,
  }));
}

function citedIn(path: string, said: string): string[] {
  const isBrowser = /^(clients\/web|tests\/browser)\//.test(path);
  const isClient = isBrowser || /^(clients|tests)\//.test(path);
  const rows = [...said.matchAll(ROWS)].flatMap(([, from, through]) =>
    range(Number(from), Number(through ?? from)).map((n) => `R${String(n).padStart(3, '0')}`),
  );
  const cases = [...said.matchAll(CASES)].flatMap(([, client, list = '']) =>
    numbers(list).map((n) => `${client !== undefined || isBrowser ? 'CLIENT ' : ''}case ${n}`),
  );
  const invariants = !isClient
    ? []
    : [...said.matchAll(INVARIANTS)]
        .flatMap(([, from, through]) => range(Number(from), Number(through ?? from)))
        .filter((n) => n >= 1 && n <= INVARIANT_LAST)
        .map((n) => `S${n}`);
  return [...rows, ...cases, ...invariants];
}

/** `1–4, 6 and 8` → 1 2 3 4 6 8. */
function numbers(list: string): number[] {
  return list
    .split(/,|and/)
    .map((part) => part.trim().split(/\s*[–-]\s*/))
    .flatMap(([from, through]) => range(Number(from), Number(through ?? from)));
}

function range(from: number, through: number): number[] {
  const count = Math.min(Math.max(through - from + 1, 0), RANGE_MAX);
  return Array.from({ length: count }, (_, i) => from + i);
}
