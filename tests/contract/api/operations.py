"""What clients of the reference's API ask, by what they want to do."""

OPERATIONS: dict[str, str] = {
    "list every insight with its definition": """
        query AllInsights($first: Int, $after: String) {
          insightViews(first: $first, after: $after) {
            nodes { ...View }
            pageInfo { endCursor hasNextPage }
            totalCount
          }
        }
        fragment View on InsightView {
          id
          isFrozen
          dashboardReferenceCount
          dashboards { nodes { id title } }
          defaultFilters { includeRepoRegex excludeRepoRegex searchContexts }
          appliedFilters { includeRepoRegex excludeRepoRegex searchContexts }
          defaultSeriesDisplayOptions { limit numSamples sortOptions { mode direction } }
          appliedSeriesDisplayOptions { limit numSamples sortOptions { mode direction } }
          repositoryDefinition {
            __typename
            ... on InsightRepositoryScope { repositories }
            ... on RepositorySearchScope { search allRepositories }
          }
          timeScope { ... on InsightIntervalTimeScope { unit value } }
          presentation {
            __typename
            ... on LineChartInsightViewPresentation { title seriesPresentation { seriesId label color } }
            ... on PieChartInsightViewPresentation { title otherThreshold }
          }
          dataSeriesDefinitions {
            ... on SearchInsightDataSeriesDefinition {
              seriesId
              query
              repositoryScope { repositories }
              repositoryDefinition {
                __typename
                ... on InsightRepositoryScope { repositories }
                ... on RepositorySearchScope { search }
              }
              timeScope { ... on InsightIntervalTimeScope { unit value } }
              isCalculated
              generatedFromCaptureGroups
              groupBy
            }
          }
        }
    """,
    "draw one insight": """
        query Chart($id: ID, $filters: InsightViewFiltersInput, $seriesDisplayOptions: SeriesDisplayOptionsInput) {
          insightViews(id: $id, filters: $filters, seriesDisplayOptions: $seriesDisplayOptions) {
            nodes { ...Chart }
          }
        }
        fragment Chart on InsightView { id dataSeries { ...Line } }
        fragment Line on InsightsSeries {
          seriesId
          label
          points { dateTime value diffQuery pointInTimeQuery }
          status {
            backfillQueuedAt completedJobs pendingJobs failedJobs isLoadingData
            incompleteDatapoints {
              ... on TimeoutDatapointAlert { __typename time }
              ... on GenericIncompleteDatapointAlert { __typename time reason }
            }
          }
        }
    """,
    "the points of all insights, with arguments that are no longer used": """
        query Points {
          insightViews {
            nodes { dataSeries { seriesId label points(from: "2021-01-01T00:00:00Z", includeRepoRegex: "x") { dateTime value } } }
          }
        }
    """,
    "ids of all insights": "query InsightViews { insightViews { nodes { id } } }",
    "find insights but these": """
        query Find($find: String, $excludeIds: [ID!]) {
          insightViews(find: $find, excludeIds: $excludeIds, isFrozen: false, first: 20) { nodes { id seriesCount } totalCount }
        }
    """,
    "create an insight": """
        mutation CreateSearchBasedInsight($input: LineChartSearchInsightInput!) {
          createLineChartSearchInsight(input: $input) {
            view {
              id
              presentation { ... on LineChartInsightViewPresentation { seriesPresentation { seriesId label color } } }
              repositoryDefinition { ... on InsightRepositoryScope { repositories } }
              timeScope { ... on InsightIntervalTimeScope { unit value } }
            }
          }
        }
    """,
    "validate a scope while it is typed": """
        query ValidateInsightRepoQuery($query: String!) {
          validateScopedInsightQuery(query: $query) { query isValid invalidReason }
        }
    """,
    "count the repositories of a scope": """
        query InsightRepositoriesCount($query: String!) {
          previewRepositoriesFromQuery(query: $query) { query numberOfRepositories }
        }
    """,
    "dashboards": """
        query Dashboards($first: Int, $after: String, $id: ID) {
          insightsDashboards(first: $first, after: $after, id: $id) { nodes { id title } pageInfo { endCursor hasNextPage } }
        }
    """,
    "list repositories": """
        query Repositories(
          $first: Int, $query: String, $cloned: Boolean, $notCloned: Boolean, $indexed: Boolean, $notIndexed: Boolean,
          $orderBy: RepositoryOrderBy, $descending: Boolean,
        ) {
          repositories(
            first: $first, query: $query, cloned: $cloned, notCloned: $notCloned, indexed: $indexed,
            notIndexed: $notIndexed, orderBy: $orderBy, descending: $descending,
          ) { nodes { ...RepositoryFields } }
        }
        fragment RepositoryFields on Repository {
          id name url description language createdAt updatedAt
          externalRepository { id serviceType serviceID }
          defaultBranch { name displayName }
          viewerCanAdminister
        }
    """,
    "are these repositories cloned": """
        query ListRepos($names: [String!]) { repositories(names: $names) { nodes { name mirrorInfo { cloned } } } }
    """,
    "the id of a repository": "query RepositoryID($repoName: String!) { repository(name: $repoName) { id } }",
    "any node": """
        query Node($id: ID!) { node(id: $id) { __typename id ... on Repository { name } ... on InsightView { seriesCount } } }
    """,
    "the version of the site": "query Version { site { productVersion } }",
    "who am I": "query CurrentUser { currentUser { id username siteAdmin } }",
    "uploads of a repository and one of them": """
        query LsifUploads($repoName: String!, $id: ID!, $first: Int) {
          repository(name: $repoName) {
            lsifUploads(first: $first) {
              nodes { ...Upload }
              totalCount
              pageInfo { endCursor hasNextPage }
            }
          }
          node(id: $id) { __typename ... on LSIFUpload { ...Upload } ... on PreciseIndex { ...Index } }
        }
        fragment Upload on LSIFUpload {
          id inputCommit inputRoot inputIndexer state failure isLatestForRepo uploadedAt startedAt finishedAt placeInQueue
          projectRoot { path repository { name url } commit { oid abbreviatedOID } }
          indexer { key name }
        }
        fragment Index on PreciseIndex {
          id inputCommit inputRoot inputIndexer preciseState: state failure queuedAt uploadedAt processingStartedAt
          processingFinishedAt placeInQueue indexer { key name }
          auditLogs {
            logTimestamp reason operation changedColumns { column old new } uploadId inputCommit inputRoot inputIndexer uploadedAt
          }
        }
    """,
    "precise indexes, filtered": """
        query PreciseIndexes($repo: ID, $states: [PreciseIndexState!], $query: String, $first: Int, $after: String) {
          preciseIndexes(repo: $repo, states: $states, query: $query, indexerKey: "scip-go", first: $first, after: $after) {
            nodes { id state inputCommit }
            totalCount
            pageInfo { endCursor hasNextPage }
          }
        }
    """,
    "delete an upload": """
        mutation Delete($id: ID!) { deleteLSIFUpload(id: $id) { alwaysNil } deletePreciseIndex(id: $id) { alwaysNil } }
    """,
    "try out the actions of a code monitor, and let its trigger look again": """
        mutation TryOut(
          $namespace: ID!, $description: String!, $trigger: ID!,
          $email: MonitorEmailInput!, $webhook: MonitorWebhookInput!, $slackWebhook: MonitorSlackWebhookInput!
        ) {
          triggerTestEmailAction(namespace: $namespace, description: $description, email: $email) { alwaysNil }
          triggerTestWebhookAction(namespace: $namespace, description: $description, webhook: $webhook) { alwaysNil }
          triggerTestSlackWebhookAction(namespace: $namespace, description: $description, slackWebhook: $slackWebhook) {
            alwaysNil
          }
          resetTriggerQueryTimestamps(id: $trigger) { alwaysNil }
        }
    """,
}
