/** Line icons, 20 px on a 24 grid, and the ticks of R021. All decorative: names are in the text. */
import type { ReactNode } from 'react';

const PATHS = {
  plus: 'M12 5v14M5 12h14',
  close: 'M6 6l12 12M18 6L6 18',
  back: 'M15 5l-7 7 7 7',
  down: 'M12 5v13M6 12.5l6 6 6-6',
  find: 'M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5L20 20',
  info: 'M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM12 11v5M12 7.8v.2',
  gear: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5',
  send: 'M4 12h15M13 6l6 6-6 6',
  edit: 'M5 19l.8-3.8L16.6 4.4l3 3L8.8 18.2zM14.5 6.5l3 3',
  trash: 'M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10 11v5M14 11v5',
  copy: 'M9 9h10v10H9zM5 15V5h10',
  more: 'M6 12v.01M12 12v.01M18 12v.01',
  people:
    'M9 11.5a3.2 3.2 0 1 0 0-6.5 3.2 3.2 0 0 0 0 6.5zM3.5 19c.4-3 2.6-4.8 5.5-4.8s5.1 1.8 5.5 4.8M16 11.2a2.7 2.7 0 1 0-.6-5.3M17 14.3c2 .4 3.2 2 3.5 4.2',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  keyboard: 'M3.5 6.5h17v11h-17zM7 10v.01M10.3 10v.01M13.7 10v.01M17 10v.01M8 14h8',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 20 }: { name: IconName; size?: number }): ReactNode {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={name === 'more' ? 2.6 : 1.8}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}

export type TickName = 'SENDING' | 'SENT' | 'STORED' | 'DELIVERED' | 'READ' | 'FAILED';

/** Fixed 18 × 12 box whatever the state, so a state never moves a pixel of the row. */
export function Tick({ is }: { is: TickName }): ReactNode {
  return (
    <svg className={`tick tick-${is.toLowerCase()}`} viewBox="0 0 18 12" aria-hidden="true">
      {shape(is)}
    </svg>
  );
}

function shape(is: TickName): ReactNode {
  switch (is) {
    case 'SENDING':
      return (
        <>
          <circle cx="12" cy="6" r="4.6" />
          <path d="M12 3.4V6l1.8 1.2" />
        </>
      );
    case 'SENT':
      return <path d="M7 6.5l3 3L16.5 2.5" />;
    case 'STORED':
      return (
        <>
          <path d="M7 6.5l3 3L16.5 2.5" />
          <circle className="dot" cx="16" cy="10" r="1.3" />
        </>
      );
    case 'DELIVERED':
    case 'READ':
      return <path d="M1.5 6.5l3 3L11 2.5M8.5 8.3l1.2 1.2L16.5 2.5" />;
    case 'FAILED':
      return <path d="M8.5 2l7 8M15.5 2l-7 8" />;
  }
}
