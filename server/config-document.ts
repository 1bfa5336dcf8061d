/** docs/CONFIG.md, written from the table by `npm run generate`. Pure: table in, text out. */
import { CONFIG_SECTIONS, CONFIG_TABLE, type ConfigEntry } from './config-table.ts';
import { configNames, envNameOf, flagNameOf } from './config.ts';

const HEADER = `<!-- Generated from server/config-table.ts by \`npm run generate\`; do not edit. -->
# Configuration

Every setting has a default: \`npm start\` needs none of them. A flag goes before the environment
variable. All problems are reported at once, and the server does not start with any of them. Secrets
have no flag (flags show in \`ps\`): give the variable, or its name with \`_FILE\` and a path. A new
value takes a restart.
`;

export function configDocument(): string {
  const sections = new Map(CONFIG_SECTIONS);
  const parts: string[] = [HEADER];
  for (const name of configNames()) {
    const heading = sections.get(name);
    if (heading !== undefined) parts.push(`\n## ${heading}\n`);
    const entry: ConfigEntry = CONFIG_TABLE[name];
    const flag = entry.type === 'secret' ? '' : ` · \`${flagNameOf(name)}\``;
    parts.push(`\n### \`${envNameOf(name)}\`${flag}\n\n${facts(entry)}\n\n${entry.doc}\n`);
  }
  return parts.join('');
}

function facts(entry: ConfigEntry): string {
  const shown = [`${entry.type}${entry.unit === '' ? '' : ` (${entry.unit})`}`];
  const value = entry.type === 'list' ? entry.default.join(', ') : String(entry.default);
  shown.push(value === '' ? 'default empty' : `default \`${value}\``);
  if (entry.type === 'integer') shown.push(`from ${entry.min} to ${entry.max}`);
  if (entry.type === 'choice') shown.push(`one of ${entry.choices.join(', ')}`);
  if (entry.reloadable) shown.push('*live*');
  return shown.join(' · ');
}
