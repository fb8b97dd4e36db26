import type { Fetcher } from '@graphiql/toolkit';
import { type DocumentNode, getOperationAST, type OperationDefinitionNode, parse } from 'graphql';

import { type Answer, type Api, typedAuthorization } from './api';
import type { Observer, Sockets } from './sockets';

const introspection = 'IntrospectionQuery';

/**
 * Sends queries and mutations by POST and subscriptions over a socket. `observe` is told of the answer to each
 * operation that a user ran.
 */
export function createFetcher(api: Api, sockets: Sockets, observe: (answer: Answer) => void): Fetcher {
  return (operation, { headers = {} } = {}) => {
    if (operation.operationName === introspection) {
      return api.post(operation, headers);
    }
    const chosen = chosenOperation(operation.query, operation.operationName);
    const named = { ...operation, operationName: chosen?.name?.value ?? operation.operationName };
    if (chosen?.operation === 'subscription') {
      return {
        subscribe: (observer) => ({
          unsubscribe: sockets.subscribe(named, typedAuthorization(headers), observer as Observer),
        }),
      };
    }
    return api.post(named, headers).then((answer) => {
      observe(answer);
      return answer;
    });
  };
}

/**
 * The operation that runs: the one of that name, else the only one, since the name that GraphiQL tells is for a moment
 * still that of the tab before.
 */
function chosenOperation(query: string, name: string | null | undefined): OperationDefinitionNode | null | undefined {
  let document: DocumentNode;
  try {
    document = parse(query);
  } catch {
    return undefined; // the server says best what is wrong with it
  }
  return getOperationAST(document, name) ?? getOperationAST(document);
}
