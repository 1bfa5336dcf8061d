/** Avatars: signal flags, drawn from the id alone. A group's has a swallowtail notch. */
import type { ReactNode } from 'react';
import { flagOf, type Pattern } from './flag-pattern.ts';

/** The light hues of CLIENT §3: cloth keeps its dye when the room goes dark. */
const DYES = [
  '#0a6670',
  '#8a3b12',
  '#5b3fa0',
  '#9a1f5c',
  '#2f6b1f',
  '#1f4fa3',
  '#7a5200',
  '#6b2d2d',
];
export interface FlagProps {
  readonly id: string;
  readonly group?: boolean;
  readonly small?: boolean;
}

export function FlagAvatar({ id, group = false, small = false }: FlagProps): ReactNode {
  const { pattern, hue } = flagOf(id);
  const shape = ['flag', group ? 'swallowtail' : '', small ? 'small' : ''].join(' ').trim();
  return (
    <span className={shape} aria-hidden="true">
      <svg viewBox="0 0 44 44" focusable="false">
        <rect width="44" height="44" fill="var(--cloth)" />
        <g fill={DYES[hue]}>{figure(pattern)}</g>
        <path d={group ? SWALLOWTAIL : SQUARE} fill="none" stroke={DYES[hue]} strokeWidth="2" />
      </svg>
    </span>
  );
}

/** The hem: half of the stroke is cut off by the flag's own outline. */
const SQUARE = 'M0 0h44v44H0z';
const SWALLOWTAIL = 'M0 0h44L33 22l11 22H0z';

function figure(pattern: Pattern): ReactNode {
  switch (pattern) {
    case 'border':
      return <path d="M0 0h44v44H0zM12 12v20h20V12z" fillRule="evenodd" />;
    case 'halves-vertical':
      return <path d="M0 0h22v44H0z" />;
    case 'halves-horizontal':
      return <path d="M0 0h44v22H0z" />;
    case 'quarters':
      return <path d="M0 0h22v22H0zM22 22h22v22H22z" />;
    case 'diagonal':
      return <path d="M0 0h44L0 44z" />;
    case 'cross':
      return <path d="M16 0h12v16h16v12H28v16H16V28H0V16h16z" />;
    case 'saltire':
      return <path d="M0 0h8l14 14L36 0h8v8L30 22l14 14v8h-8L22 30 8 44H0v-8l14-14L0 8z" />;
    case 'stripes-vertical':
      return <path d="M0 0h9v44H0zM17.5 0h9v44h-9zM35 0h9v44h-9z" />;
    case 'stripes-horizontal':
      return <path d="M0 0h44v9H0zM0 17.5h44v9H0zM0 35h44v9H0z" />;
    case 'disc':
      return <circle cx="22" cy="22" r="12" />;
    case 'lozenge':
      return <path d="M22 3l19 19-19 19L3 22z" />;
    case 'chevron':
      return <path d="M0 0l26 22L0 44z" />;
  }
}
