// The explorer: GraphiQL over /graphql with the session's cookie; ?query= and ?variables= fill it (nothing runs by itself).

const csrf = document.querySelector('meta[name="csrf-token"]').content;
const example = JSON.parse(document.getElementById("graphiql-example").textContent).query;
const given = new URLSearchParams(location.search);

async function fetcher(operation) {
  const answer = await fetch("/graphql", {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRF-Token": csrf },
    body: JSON.stringify(operation),
  });
  if (answer.status === 401) return { errors: [{ message: "Your session has ended: log in again." }] };
  return answer.json();
}

const root = ReactDOM.createRoot(document.getElementById("graphiql"));
root.render(
  React.createElement(GraphiQL, {
    fetcher,
    defaultQuery: example,
    query: given.get("query") ?? undefined,
    variables: given.get("variables") ?? undefined,
    isHeadersEditorEnabled: false,
    shouldPersistHeaders: false,
    defaultEditorToolsVisibility: Boolean(given.get("variables")),
  }),
);
