/** The list's region: brand, settings and new conversation, the find box, filters, the list. */
import type { Filter } from '@parley/sdk';
import { type KeyboardEvent, type ReactNode, type RefObject, useState } from 'react';
import { Brand } from '../art/brand.tsx';
import { Icon } from '../art/icons.tsx';
import { ConversationList } from './conversation-list.tsx';
import { FindResults } from './find.tsx';

interface ListPaneProps {
  readonly selected: string | undefined;
  readonly findField: RefObject<HTMLInputElement | null>;
  readonly open: (id: string) => void;
  readonly message: (userId: string) => void;
  readonly start: () => void;
  readonly settings: () => void;
}

const FILTERS: readonly { readonly filter: Filter; readonly label: string }[] = [
  { filter: 'all', label: 'All' },
  { filter: 'unread', label: 'Unread' },
  { filter: 'groups', label: 'Groups' },
];

export function ListPane(props: ListPaneProps): ReactNode {
  const [text, setText] = useState('');
  const [filter, setFilter] = useState<Filter>('all');
  const open = (id: string): void => {
    setText('');
    props.open(id);
  };
  const message = (userId: string): void => {
    setText('');
    props.message(userId);
  };
  const onKeyDown = (e: KeyboardEvent<HTMLInputElement>): void => {
    const pane = e.currentTarget.closest('.region');
    if (e.nativeEvent.isComposing) return;
    if (e.key === 'Escape') setText('');
    else if (e.key === 'ArrowDown') firstRow(pane)?.focus();
    else if (e.key === 'Enter' && text !== '') firstRow(pane)?.click();
    else return;
    e.preventDefault();
  };
  return (
    <>
      <ListHead start={props.start} settings={props.settings} />
      <div className="find" role="search">
        <Icon name="find" />
        <input
          ref={props.findField}
          className="input"
          type="search"
          placeholder="Find"
          aria-label="Find people and conversations"
          aria-keyshortcuts="Control+K"
          dir="auto"
          value={text}
          onChange={(e) => setText(e.target.value)}
          onKeyDown={onKeyDown}
        />
        {text !== '' && (
          <button
            type="button"
            className="icon-button find-clear"
            aria-label="Clear"
            onClick={() => {
              setText('');
              props.findField.current?.focus();
            }}
          >
            <Icon name="close" size={18} />
          </button>
        )}
      </div>
      {text.trim() === '' ? (
        <>
          <Filters filter={filter} choose={setFilter} />
          <ConversationList
            key={filter}
            filter={filter}
            selected={props.selected}
            open={open}
            start={props.start}
          />
        </>
      ) : (
        <FindResults text={text} open={open} message={message} />
      )}
    </>
  );
}

function ListHead(props: Pick<ListPaneProps, 'start' | 'settings'>): ReactNode {
  return (
    <header className="head">
      <h1 className="brand">
        <Brand />
        Parley
      </h1>
      <button type="button" className="icon-button" aria-label="Settings" onClick={props.settings}>
        <Icon name="gear" />
      </button>
      <button
        type="button"
        className="icon-button"
        aria-label="New conversation"
        onClick={props.start}
      >
        <Icon name="plus" />
      </button>
    </header>
  );
}

interface FiltersProps {
  readonly filter: Filter;
  readonly choose: (filter: Filter) => void;
}

function Filters({ filter, choose }: FiltersProps): ReactNode {
  return (
    <div className="filters" role="group" aria-label="Show">
      {FILTERS.map((choice) => (
        <button
          type="button"
          key={choice.filter}
          aria-pressed={filter === choice.filter}
          onClick={() => choose(choice.filter)}
        >
          {choice.label}
        </button>
      ))}
    </div>
  );
}

function firstRow(pane: Element | null): HTMLElement | null | undefined {
  return (
    pane?.querySelector<HTMLElement>('.list-row[tabindex="0"]') ??
    pane?.querySelector<HTMLElement>('.list-row')
  );
}
